-- Who mends: reads payloads, and changes what becomes of records: dlq, parked, outbox, breakers, flood, and lanes pause, resume and dead-letter. Where a lane goes on
-- reading is not this role's to change.
-- Run by an administrator after each `deja migrate`, for example:
--   psql "$DEJA_POSTGRES" -v schema=deja -v operator=payments_operator -f operator.sql
-- The role is made if it is missing, and what it may do in the schema is this and nothing else afterwards: so it is no program's role, and none of the
-- other two. People have logins of their own, which the audit log names:  grant payments_operator to ada;
\set ON_ERROR_STOP on
begin;
select format('create role %I nologin', :'operator') where to_regrole(quote_ident(:'operator')) is null \gexec
revoke all on all tables in schema :"schema" from :"operator";
revoke all on all sequences in schema :"schema" from :"operator";
grant usage on schema :"schema" to :"operator";
grant select on all tables in schema :"schema" to :"operator";
-- Whoever changes something says so in the audit log, whose triggers write the rest of the row.
grant insert (action, group_id, reason, detail) on :"schema".audit_log to :"operator";
-- lanes pause, resume, dead-letter; and the lane's owner is told of all that follows.
grant update (owner_token, batch_seq, parked_version, aside_version, next_event_seq, pause_reason, paused_cause, blocked_by, dead_letter_at, dead_letter_reason)
  on :"schema".lanes to :"operator";
-- parked retry, dead-letter, discard; a cancelled replay is taken out of the lanes
grant update (next_at, suspect, wanted, wanted_reason), delete on :"schema".parked to :"operator";
-- dlq
grant insert (group_id, handler, lane, topic, partition, "offset", incarnation, record_key, value, headers, record_timestamp, key, digest, ordering, cause, stage,
              error, fingerprint, build, attempts, size, action_id),
      update (value, headers, edited, size, status, replays, action_id, attempts, failures, cause, stage, error, fingerprint, build)
  on :"schema".dead_letters to :"operator";
grant insert (group_id, kind, reason, matched, rate, canary, stop_ratio, redirect_to, state, paced_until),
      update (accepted, refused, state, state_cause, paced_until, finished_at) on :"schema".dlq_actions to :"operator";
grant insert (action_id, place, dead_letter, lane, forecast), update (state, at) on :"schema".dlq_items to :"operator";
grant insert (dead_letter, action_id, value, headers) on :"schema".dlq_edits to :"operator";
-- A discard takes the key and a restore gives it back; the dead-letter topic is told of both.
grant insert (key, digest, lane, "offset"), delete on :"schema".keys_1 to :"operator";
grant insert (lane, seq, event_id, topic, partition, key, value, headers) on :"schema".outbox_0, :"schema".outbox_1, :"schema".outbox_2 to :"operator";
-- outbox retry, discard
grant update (state, value, headers) on :"schema".outbox_stuck to :"operator";
-- breakers reset; flood poison, outage
grant update (reset) on :"schema".breakers to :"operator";
grant insert (group_id, handler, fingerprint, ruling, reason), update (ruling, reason, seen_at) on :"schema".flood_rulings to :"operator";
commit;
