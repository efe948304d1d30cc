-- oldest binary: 2
-- A program built for version 1 knows nothing of several lanes in a partition and would work them as one.

-- The fingerprint of how records map to lanes (beside lane_count): a record must not map to a lane that is past it.
alter table {schema}.lanes
  add column hash_version    integer not null default 1,
  add column ordering        text not null default 'record key',
  -- where the witness stands: the last record this lane's owner saw, at next_offset - 1 or, over transaction markers, before it
  add column witness_offset  bigint,
  -- after a reset to an earlier offset: records below it were consumed before
  add column reread_until    bigint not null default 0;
update {schema}.lanes set witness_offset = next_offset - 1 where witness_timestamp is not null;

-- While a recipe changes (keys.previous): the one before it, and when keys were last made by that one alone.
alter table {schema}.recipes
  add column previous_handler    text,
  add column previous_scope      text,
  add column previous_strategy   text,
  add column previous_tenancy    text,
  add column previous_secret_id  text,
  add column previous_used_at    timestamptz;
-- With handler and strategy, the recipe that the instance makes keys by.
alter table {schema}.handlers
  add column scope      text,
  add column tenancy    text,
  add column secret_id  text;

-- Up to which event an operator accepted (--abandon) that nobody works the lane; the events stay.
alter table {schema}.lanes add column abandoned_seq bigint not null default 0;

-- A record has one dead letter, in whichever lane it is read again.
create unique index dead_letters_by_record on {schema}.dead_letters (group_id, topic, partition, incarnation, "offset");

-- What operators did and what the runtime had to decide for them. Rows are chained by their hashes and never change.
create table {schema}.audit_log (
  id        bigint primary key,
  at        timestamptz not null,
  who       text not null,
  action    text not null,
  group_id  text,
  reason    text not null,
  detail    json not null,
  previous  bytea not null,
  hash      bytea not null
);

create function {schema}.chain_audit_log() returns trigger language plpgsql as $$
declare
  last record;
begin
  perform pg_advisory_xact_lock((1684367969::bigint << 32) | tg_relid::bigint);  -- the lock first, what it protects in a further statement
  select l.id, l.hash into last from {schema}.audit_log l order by l.id desc limit 1;
  new.id := coalesce(last.id, 0) + 1;
  new.at := clock_timestamp();
  new.who := session_user;
  new.previous := coalesce(last.hash, ''::bytea);
  new.hash := sha256(new.previous || convert_to(json_build_array(new.id, to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    new.who, new.action, new.group_id, new.reason, new.detail::text)::text, 'UTF8'));
  return new;
end $$;
create trigger audit_log_is_chained before insert on {schema}.audit_log for each row execute function {schema}.chain_audit_log();

create function {schema}.refuse_audit_log_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'DJ002';
end $$;
create trigger audit_log_is_append_only before update or delete or truncate on {schema}.audit_log
  for each statement execute function {schema}.refuse_audit_log_change();

-- Topics to which a group's handlers emitted, so that an audit knows where the events are.
create table {schema}.event_topics (
  group_id    text not null,
  topic       text not null,
  first_seen  timestamptz not null default clock_timestamp(),
  primary key (group_id, topic)
);

-- Where a lane began: records before it were never the group's, and no audit misses them.
alter table {schema}.lanes add column start_offset bigint not null default 0;
create function {schema}.keep_start_offset() returns trigger language plpgsql as $$
begin
  new.start_offset := new.next_offset;
  return new;
end $$;
create trigger lane_keeps_its_start before insert on {schema}.lanes for each row execute function {schema}.keep_start_offset();
