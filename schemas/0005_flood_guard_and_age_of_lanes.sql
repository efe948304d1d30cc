-- oldest binary: 5
-- A program built for version 4 knows nothing of suspect_records, and would run together what may have ended its owner before.

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
