-- oldest binary: 5
-- A program built for version 4 knows nothing of suspect_records, and would run together what may have ended its owner before; nor of
-- dead letters that hold their ordering key, and would run later records of it.

-- What the flood guard of each process says, for operators. No part of the protocol.
create table {schema}.floods (
  group_id     text not null,
  handler      text not null,
  instance     text not null,
  state        text not null check (state in ('watching', 'outage', 'poison')),
  since        timestamptz not null,
  cause        text,
  fingerprint  text,
  seen_at      timestamptz not null default clock_timestamp(),
  primary key (group_id, handler, instance)
);

-- What an operator says of a cause; every process takes it up. It is forgotten when nothing has failed so for a window.
create table {schema}.flood_rulings (
  group_id     text not null,
  handler      text not null,
  fingerprint  text not null,
  ruling       text not null check (ruling in ('poison', 'outage')),
  reason       text not null,
  seen_at      timestamptz not null default clock_timestamp(),
  primary key (group_id, handler, fingerprint)
);

-- When a lane began, so that a topic that grew while records of it were parked can be told.
alter table {schema}.lanes add column created_at timestamptz;
alter table {schema}.lanes alter column created_at set default clock_timestamp();

-- R1: so many of the lane's next records run alone. Records, and not offsets: those of a lane have gaps.
alter table {schema}.lanes add column suspect_records integer not null default 0;
update {schema}.lanes set suspect_records = least(suspect_to - next_offset, 100000)::int where suspect_to > next_offset;
alter table {schema}.lanes drop column suspect_to;

-- dlq.order = hold: what comes after an open dead letter of its ordering key waits.
alter table {schema}.dead_letters add column ordering bigint;  -- hash of the ordering key; null: ordered with nothing
alter table {schema}.dead_letters add column previous_key uuid;  -- while keys.previous is set: by the recipe before
create index dead_letters_by_ordering on {schema}.dead_letters (lane, ordering) include (incarnation, "offset") where status = 'open' and ordering is not null;
create index parked_heads on {schema}.parked (lane, ordering, "offset") where next_at is not null;
-- By which dlq.order the lane's parked records that may run are marked.
alter table {schema}.lanes add column holds boolean not null default false;

-- What operators did with dead letters. Each of these has its number.
create table {schema}.dlq_actions (
  id        bigint generated always as identity primary key,
  group_id  text not null,
  kind      text not null check (kind in ('discard')),
  who       text not null default session_user,
  reason    text not null,
  at        timestamptz not null default clock_timestamp(),
  matched   bigint not null,
  accepted  bigint not null default 0
);
