-- oldest binary: 6
-- A program built for version 5 knows nothing of dead letters that run again and would leave them in that state for ever.

-- Dead letters that are replayed are parked records again, which know what they come from.
alter table {schema}.parked
  add column dead_letter      bigint references {schema}.dead_letters (id),
  add column attempts_before  integer not null default 0,     -- of `attempt`: those before the replay
  add column paced            boolean not null default false, -- by its replay's own rate, and not by the retry budget
  add column edited           boolean not null default false, -- keeps its key and digest, whatever its bytes say now
  add column redirected_to    text,                           -- the handler that runs it, instead of its topic's
  add column failures         jsonb not null default '[]';    -- see dead_letters

alter table {schema}.dead_letters
  add column event_topic  text,                            -- the dead-letter topic that was told of it; null: none
  add column edited       boolean not null default false,
  add column failures     jsonb not null default '[]';     -- the last attempts: at, attempt, stage, error, build

-- One that is replayed keeps its place in the order of its key until it is done.
drop index {schema}.dead_letters_by_ordering;
create index dead_letters_by_ordering on {schema}.dead_letters (lane, ordering) include (incarnation, "offset")
  where status in ('open', 'replaying') and ordering is not null;

alter table {schema}.dlq_actions
  drop constraint dlq_actions_kind_check,
  add constraint dlq_actions_kind_check check (kind in ('discard', 'restore', 'replay', 'edit', 'import')),
  add column state        text not null default 'done' check (state in ('running', 'paused', 'stopped', 'cancelled', 'done')),
  add column state_cause  text,              -- in words: why it stopped, or who paused it
  add column refused      bigint not null default 0,
  -- Of a replay.
  add column rate         double precision,  -- records a second; null: as the retry budget allows
  add column canary       bigint,            -- so many first, and the rest only if they do well
  add column redirect_to  text,              -- run by this handler, instead of their topics'
  add column stop_ratio   double precision,  -- stopped when more than this share of what has ended failed
  add column fed          bigint not null default 0,
  add column paced_until  timestamptz,       -- up to here the rate is used
  add column finished_at  timestamptz;
create index dlq_actions_at_work on {schema}.dlq_actions (group_id) where state = 'running';

-- The dead letters of a replay in the order in which they run, what was foretold and what became of them.
create table {schema}.dlq_items (
  action_id    bigint not null references {schema}.dlq_actions (id),
  place        bigint not null,
  dead_letter  bigint not null references {schema}.dead_letters (id),
  lane         integer not null,
  forecast     text not null,
  state        text not null default 'queued' check (state in ('queued', 'parked', 'done', 'failed', 'cancelled')),
  outcome      text,                         -- a disposition, when it has ended
  at           timestamptz not null default clock_timestamp(),
  primary key (action_id, place)
);
create index dlq_items_by_letter on {schema}.dlq_items (dead_letter);
create index dlq_items_queued on {schema}.dlq_items (action_id, lane, place) where state = 'queued';
create index dlq_items_by_state on {schema}.dlq_items (action_id, state, place);

-- Before each edit of a dead letter: what it was, and who changed it when and why (the action).
create table {schema}.dlq_edits (
  id           bigint generated always as identity primary key,
  dead_letter  bigint not null references {schema}.dead_letters (id),
  action_id    bigint not null references {schema}.dlq_actions (id),
  value        bytea,
  headers      json not null
);
create index dlq_edits_by_letter on {schema}.dlq_edits (dead_letter, id);
