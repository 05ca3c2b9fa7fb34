"""Ask the registry, if it is installed, about logins that get another storage key when they are carried."""

from ...sessions.registration import StoredLogin, registrations


async def may_come(session_name: str, found: StoredLogin) -> bool:
    """Tell whether a login that was found there may be carried; see Former."""
    if registrations.make is None or registrations.former is None:
        return True
    return await registrations.former.may_come(session_name, found)


async def leave(key: str, seconds: int = 0) -> None:
    """Let a login end there, in so many seconds; see Former."""
    if registrations.make is not None and registrations.former is not None:
        await registrations.former.leave(key, seconds)
