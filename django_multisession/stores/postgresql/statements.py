"""The store's statements. Each returns only text or bytea."""

from ..aliases import INSPECT_POSTGRESQL
from .pipeline import Statement

# statement_timestamp(), not now(): in a long transaction, such as a TestCase, now() stands still (decisions.md, D12).
READ = Statement(
    "SELECT payload, version FROM multisession_record WHERE key = %s AND expires_at > statement_timestamp()"
)
INSERT = Statement(
    "INSERT INTO multisession_record AS taken (key, version, payload, is_session, expires_at)"
    " VALUES (%s, %s, %s, %s, statement_timestamp() + make_interval(secs => %s))"
    " ON CONFLICT (key) DO UPDATE"
    " SET version = excluded.version, payload = excluded.payload, is_session = excluded.is_session,"
    " expires_at = excluded.expires_at"
    " WHERE taken.expires_at <= statement_timestamp()"
)
END = Statement(
    "INSERT INTO multisession_record (key, version, payload, is_session, expires_at)"
    " VALUES (%s, %s, %s, %s, statement_timestamp() + make_interval(secs => %s))"
    " ON CONFLICT (key) DO UPDATE"
    " SET version = excluded.version, payload = excluded.payload, is_session = excluded.is_session,"
    " expires_at = excluded.expires_at"
)
REPLACE = Statement(
    "UPDATE multisession_record SET version = %s, payload = %s, is_session = %s,"
    " expires_at = statement_timestamp() + make_interval(secs => %s)"
    " WHERE key = %s AND version = %s AND expires_at > statement_timestamp()"
)
DELETE = Statement("DELETE FROM multisession_record WHERE key = %s AND expires_at > statement_timestamp()")
DELETE_VERSION = Statement(
    "DELETE FROM multisession_record WHERE key = %s AND version = %s AND expires_at > statement_timestamp()"
)
DELETE_MANY = Statement("DELETE FROM multisession_record WHERE key = ANY(%s) AND expires_at > statement_timestamp()")
EXISTS = Statement(
    "SELECT key FROM multisession_record WHERE key = ANY(%s) AND is_session AND expires_at > statement_timestamp()"
)
SCAN = Statement(
    "SELECT key FROM multisession_record WHERE key > %s AND is_session AND expires_at > statement_timestamp()"
    " ORDER BY key LIMIT 1000"
)

PAGES = Statement("SELECT (pg_relation_size('multisession_record') / current_setting('block_size')::int)::text")
# The condition is repeated, since a row may be taken again while the statement waits for its lock.
PURGE = Statement(
    "DELETE FROM multisession_record WHERE expires_at <= statement_timestamp()"
    " AND ctid = ANY(ARRAY(SELECT ctid FROM multisession_record"
    " WHERE ctid >= %s::tid AND ctid < %s::tid AND expires_at <= statement_timestamp() LIMIT %s))"
)
EXPIRED = Statement(
    "SELECT count(*)::text FROM multisession_record"
    " WHERE ctid >= %s::tid AND ctid < %s::tid AND expires_at <= statement_timestamp()"
)
INSPECT = Statement(INSPECT_POSTGRESQL)
