"""Logins that come from a place of ours where they have other storage keys, as whoever follows them knows them."""

from ...sessions.registration import StoredLogin, registrations


async def may_come(session_name: str, found: StoredLogin) -> bool:
    """Tell whether a login that was found there has not ended."""
    if registrations.make is None or registrations.former is None:
        return True
    return await registrations.former.may_come(session_name, found)


async def leave(key: str, seconds: int = 0) -> None:
    """Tell that a login is not there any more in so many seconds."""
    if registrations.make is not None and registrations.former is not None:
        await registrations.former.leave(key, seconds)
