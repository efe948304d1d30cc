-- deja's own tables. {schema} is the configured schema, quoted. Migrations expand first and contract one release later, so that
-- processes of the release before go on working; oldest_binary says which is the oldest schema a binary may have been built for.

create table {schema}.schema_version (
  version        integer primary key,
  name           text not null,
  oldest_binary  integer not null,
  applied_at     timestamptz not null default clock_timestamp(),
  applied_by     text not null default session_user
);

-- Who handles a topic for a group, and the recipe of its keys. A recipe that differs from the program's is refused at start.
create table {schema}.recipes (
  group_id   text not null,
  topic      text not null,
  handler    text not null,
  scope      text not null,
  strategy   text not null,
  tenancy    text not null,
  secret_id  text not null,
  stored_at  timestamptz not null default clock_timestamp(),
  primary key (group_id, topic)
);

-- Programs that registered, for operators and forecasts.
create table {schema}.handlers (
  group_id    text not null,
  handler     text not null,
  instance    text not null,
  topics      text[] not null,
  strategy    text not null,
  build       text not null,
  running     boolean not null default true,
  started_at  timestamptz not null default clock_timestamp(),
  last_seen   timestamptz not null default clock_timestamp(),
  primary key (group_id, handler, instance)
);

-- The spine: one row per lane. Nearly every guarantee hangs on its compare-and-set over (owner_token, batch_seq, next_offset).
create table {schema}.lanes (
  id                 integer generated always as identity primary key,
  group_id           text not null,
  topic              text not null,
  partition          integer not null,
  lane               integer not null,
  lane_count         integer not null default 1,
  instance           text,
  owner_token        uuid,
  owner_epoch        bigint not null default 0,
  batch_seq          bigint not null default 0,
  next_offset        bigint not null,
  leader_epoch       integer,
  witness_timestamp  bigint,
  witness_digest     bytea,
  incarnation        uuid not null default gen_random_uuid(),
  next_event_seq     bigint not null default 1,
  published_seq      bigint not null default 0,
  parked_version     bigint not null default 0,
  suspect_from       bigint,
  suspect_to         bigint,
  suspect_starts     integer not null default 0,
  clean              boolean not null default true,
  open               boolean not null default false,
  paused_cause       text,     -- in words, for operators: written by the owner while it waits, no part of the protocol
  blocked_by         text,
  last_commit_at     timestamptz,
  unique (group_id, topic, partition, lane)
) with (fillfactor = 50);

-- A handler that ends the transaction itself would make keys durable without their effects: no commit while a lane is open.
create function {schema}.refuse_open_lane() returns trigger language plpgsql as $$
begin
  if (select open from {schema}.lanes where id = new.id) then
    raise exception 'a handler ended the batch transaction (COMMIT): remove it, deja commits the batch'
      using errcode = 'DJ001';
  end if;
  return null;
end $$;
create constraint trigger lane_is_closed after update on {schema}.lanes
  deferrable initially deferred for each row when (new.open) execute function {schema}.refuse_open_lane();

-- Idempotency keys live in generations, each a table of its own that is dropped whole.
create table {schema}.key_generations (
  id          integer primary key,
  uuid        uuid not null default gen_random_uuid(),
  table_name  text not null,
  state       text not null check (state in ('open', 'sealed')),
  opened_at   timestamptz not null default clock_timestamp()
);
create table {schema}.keys_1 (
  key     uuid primary key,
  digest  bigint not null,
  lane    integer not null,
  "offset" bigint not null,
  at      timestamptz not null default now()
);
insert into {schema}.key_generations (id, table_name, state) values (1, 'keys_1', 'open');

-- Events, insert-only, numbered per lane. One segment is open; another is truncated once all of it is published.
create table {schema}.outbox_state (
  only_row      boolean primary key default true check (only_row),
  open_segment  integer not null,
  opened_at     timestamptz not null default clock_timestamp()
);
insert into {schema}.outbox_state (open_segment) values (0);
create table {schema}.outbox_0 (
  lane       integer not null,
  seq        bigint not null,
  event_id   uuid not null,
  topic      text not null,
  partition  integer,
  key        bytea,
  value      bytea,
  headers    json not null,
  at         timestamptz not null default now(),
  primary key (lane, seq)
);
create table {schema}.outbox_1 (like {schema}.outbox_0 including all);
create table {schema}.outbox_2 (like {schema}.outbox_0 including all);
create view {schema}.outbox as
  select * from {schema}.outbox_0 union all select * from {schema}.outbox_1 union all select * from {schema}.outbox_2;

-- What could not be handled, with everything needed to understand and replay it.
create table {schema}.dead_letters (
  id                 bigint generated always as identity primary key,
  group_id           text not null,
  handler            text not null,
  lane               integer not null references {schema}.lanes (id),
  topic              text not null,
  partition          integer not null,
  "offset"           bigint not null,
  incarnation        uuid not null,
  record_key         bytea,
  value              bytea,
  headers            json not null,
  record_timestamp   bigint not null,
  key                uuid,
  idempotency_key    bytea,
  digest             bigint,
  cause              text not null,
  stage              text not null,
  error              text not null,
  fingerprint        text not null,
  build              text not null,
  attempts           integer not null,
  size               bigint not null,
  first_seen         timestamptz not null default now(),
  first_failed_at    timestamptz not null default now(),
  dead_at            timestamptz not null default now(),
  status             text not null default 'open' check (status in ('open', 'replaying', 'replayed', 'discarded')),
  replays            integer not null default 0,
  action_id          bigint,
  -- of a conflict: where the record is that came first under the key
  conflict_lane      integer,
  conflict_offset    bigint,
  unique (lane, incarnation, "offset")
);
create index dead_letters_by_key on {schema}.dead_letters (key) where key is not null;
create index dead_letters_by_group on {schema}.dead_letters (group_id, status, id);
