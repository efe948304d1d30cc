-- oldest binary: 4

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
