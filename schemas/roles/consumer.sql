-- Least privilege for the consumer's role: it reads and writes rows, and can neither alter, drop nor truncate what is not its own.
-- Run by an administrator after `deja migrate`, for example:
--   psql "$DEJA_POSTGRES" -v schema=deja -v consumer=payments_app -f roles.sql
-- The role also needs its rights on the tables that the handlers write to.
grant usage on schema :"schema" to :"consumer";
grant select on all tables in schema :"schema" to :"consumer";
grant insert, update on :"schema".recipes, :"schema".handlers, :"schema".lanes, :"schema".dead_letters to :"consumer";
grant insert on :"schema".audit_log, :"schema".event_topics to :"consumer";
grant insert, update, delete on :"schema".breakers, :"schema".outbox_stuck, :"schema".parked, :"schema".retry_budget, :"schema".floods to :"consumer";
grant insert, update on :"schema".dlq_actions, :"schema".dlq_items to :"consumer";
grant insert on :"schema".dlq_edits to :"consumer";
grant delete on :"schema".handlers to :"consumer";
grant update, delete on :"schema".flood_rulings to :"consumer";
grant insert, delete on :"schema".keys_1 to :"consumer";
grant insert, truncate on :"schema".outbox_0, :"schema".outbox_1, :"schema".outbox_2 to :"consumer";
grant update on :"schema".outbox_state to :"consumer";
grant usage on all sequences in schema :"schema" to :"consumer";
