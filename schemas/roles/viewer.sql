-- Who looks: each command of `deja` that changes nothing. No payload, not with SQL either: the tables that hold payloads are granted column by column,
-- without `value` and `headers`.
-- Run by an administrator after each `deja migrate`, for example:
--   psql "$DEJA_POSTGRES" -v schema=deja -v viewer=payments_viewer -f viewer.sql
-- The role is made if it is missing, and what it may do in the schema is this and nothing else afterwards: so it is no program's role, and none of the
-- other two. People have logins of their own, which the audit log names:  grant payments_viewer to ada;
\set ON_ERROR_STOP on
begin;
select format('create role %I nologin', :'viewer') where to_regrole(quote_ident(:'viewer')) is null \gexec
revoke all on all tables in schema :"schema" from :"viewer";
revoke all on all sequences in schema :"schema" from :"viewer";
grant usage on schema :"schema" to :"viewer";
grant select on :"schema".schema_version, :"schema".recipes, :"schema".handlers, :"schema".lanes, :"schema".key_generations, :"schema".keys_1, :"schema".outbox_state,
  :"schema".retry_budget, :"schema".dlq_actions, :"schema".dlq_items, :"schema".breakers, :"schema".floods, :"schema".flood_rulings, :"schema".audit_log,
  :"schema".event_topics to :"viewer";
grant select (id, group_id, handler, lane, topic, partition, "offset", incarnation, record_key, record_timestamp, key, previous_key, idempotency_key, digest,
              cause, stage, error, fingerprint, build, attempts, size, first_seen, first_failed_at, dead_at, status, replays, action_id, conflict_lane,
              conflict_offset, ordering, event_topic, edited, failures) on :"schema".dead_letters to :"viewer";
grant select (id, group_id, handler, lane, topic, partition, "offset", incarnation, ordering, record_key, record_timestamp, size, key, previous_key,
              idempotency_key, digest, attempt, suspect, starts, waited_ms, next_at, first_seen, first_failed_at, cause, stage, error, fingerprint, build,
              wanted, wanted_reason, dead_letter, attempts_before, paced, edited, redirected_to, failures) on :"schema".parked to :"viewer";
grant select (id, dead_letter, action_id) on :"schema".dlq_edits to :"viewer";
grant select (lane, seq, event_id, topic, partition, at) on :"schema".outbox to :"viewer";
grant select (lane, seq, event_id, topic, partition, key, at, state, key_id, error, attempts, size, stuck_at) on :"schema".outbox_stuck to :"viewer";
commit;
