-- oldest binary: 4
-- A program built for version 3 knows nothing of parked records and would run later records of their ordering keys before them.

-- Records whose handler failed and that are tried again, and later records of their ordering keys, which wait behind them.
create table {schema}.parked (
  id                bigint generated always as identity primary key,
  group_id          text not null,
  handler           text not null,
  lane              integer not null references {schema}.lanes (id),
  topic             text not null,
  partition         integer not null,
  "offset"          bigint not null,
  incarnation       uuid not null,
  ordering          bigint,     -- hash of the ordering key; null: ordered with nothing
  record_key        bytea,
  value             bytea,
  headers           json not null,
  record_timestamp  bigint not null,
  size              bigint not null,
  key               uuid,
  previous_key      uuid,
  idempotency_key   bytea,
  digest            bigint,
  attempt           integer not null default 0,  -- failures that were committed
  suspect           boolean not null default false,  -- a process that ended may have had it under way: it runs alone, until an outcome
  starts            integer not null default 0,      -- processes that began it alone and said no more
  waited_ms         bigint not null default 0,   -- the sum of the delays it was given
  next_at           timestamptz,                 -- null: it waits behind an earlier record of its ordering key
  first_seen        timestamptz not null default now(),
  first_failed_at   timestamptz,                 -- null: it never ran
  cause             text,
  stage             text,
  error             text,
  fingerprint       text,
  build             text not null,
  -- What an operator wants of it; its owner does it.
  wanted            text check (wanted in ('dead-letter', 'discard')),
  wanted_reason     text,
  unique (group_id, topic, partition, incarnation, "offset")
);
create index parked_by_lane on {schema}.parked (lane, ordering, "offset");
create index parked_due on {schema}.parked (lane, next_at) where next_at is not null;
create index parked_by_key on {schema}.parked (key) where key is not null;

-- What the fleet delivered and delivered again, second by second, for the retry budget; a minute of it is kept.
create table {schema}.retry_budget (
  group_id          text not null,
  handler           text not null,
  second            bigint not null,
  first_deliveries  bigint not null default 0,
  redeliveries      bigint not null default 0,
  primary key (group_id, handler, second)
) with (fillfactor = 50);

-- Up to which parked record an operator accepted (--abandon) that nobody works the lane; the records stay.
alter table {schema}.lanes add column abandoned_parked bigint not null default 0;
