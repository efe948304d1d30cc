-- oldest binary: 7
-- A program built for version 6 knows nothing of events that were set aside and would publish later ones of their keys before them.

-- Events that Kafka refuses, and those of the same topic and key that came after: published_seq has passed them (O2).
create table {schema}.outbox_stuck (
  lane       integer not null references {schema}.lanes (id),
  seq        bigint not null,
  event_id   uuid not null,
  topic      text not null,
  partition  integer,
  key        bytea,
  value      bytea,
  headers    json not null,
  at         timestamptz not null,
  -- waiting: the lane's owner tries it again by itself; stuck: it is the event's own fault, or it is behind such a one, and an operator decides.
  -- All of a key_id are one or the other.
  state      text not null check (state in ('waiting', 'stuck', 'discarded')),
  key_id     uuid,                 -- digest of topic and key; null: without a key, ordered with nothing
  error      text,                 -- null: Kafka was not asked, it is behind an earlier one
  attempts   integer not null default 0,
  size       bigint not null,
  stuck_at   timestamptz not null default clock_timestamp(),
  primary key (lane, seq)
);
create index outbox_stuck_by_topic on {schema}.outbox_stuck (lane, topic, state, seq);
create index outbox_stuck_by_key on {schema}.outbox_stuck (lane, key_id) where key_id is not null and state <> 'discarded';
create index outbox_stuck_keys on {schema}.outbox_stuck (lane, key_id, seq) where key_id is not null and state = 'stuck';
create index outbox_stuck_by_event on {schema}.outbox_stuck (event_id);

-- Raised when an operator changes what a lane has set aside: a try that was read before then sticks nothing.
alter table {schema}.lanes add column aside_version bigint not null default 0;
