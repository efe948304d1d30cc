-- oldest binary: 2

-- What the breakers of each process say, for operators, and what operators ask of them. No part of the protocol.
create table {schema}.breakers (
  group_id    text not null,
  dependency  text not null,
  handler     text not null,
  instance    text not null,
  state       text not null check (state in ('closed', 'half_open', 'open')),
  since       timestamptz not null,
  cause       text,
  seen_at     timestamptz not null default clock_timestamp(),
  reset       boolean not null default false,  -- an operator says that it is back; the process takes it up
  primary key (group_id, dependency, handler, instance)
);

-- What an operator wants of a lane. Whoever changes it takes the owner's token away, so that the next take-over reads it.
alter table {schema}.lanes
  add column pause_reason        text,    -- nothing is worked while it is there
  add column dead_letter_at      bigint,  -- the record at this offset is not run, and becomes a dead letter
  add column dead_letter_reason  text;
