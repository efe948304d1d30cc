"""How far a group is, seen from outside: its lanes in the database against the ends of the logs in Kafka."""


def lanes(database, group):
    """By (topic, partition): how far the slowest of the partition's lanes is."""
    return {(row["topic"], row["partition"]): row for row in database.rows(
        "select topic, partition, min(next_offset) as next_offset, count(*) as lanes from deja.lanes "
        f"where group_id = '{group}' and lane < lane_count group by topic, partition")}


def unread(cluster, database, group, topics):
    """Records at or above their lane's next offset."""
    found, missing = lanes(database, group), 0
    for topic in topics:
        for partition, end in cluster.end_offsets(topic).items():
            lane = found.get((topic, partition))
            missing += max(0, end - (lane["next_offset"] if lane else 0))
    return missing


def unpublished(database, group):
    """Events that are committed and not yet known to be in Kafka."""
    return database.value("select count(*) from deja.outbox o join deja.lanes l on l.id = o.lane "
                          f"where o.seq > l.published_seq and l.group_id = '{group}'")


def parked(database, group):
    """Records that are to be tried again, and those behind them."""
    return database.value(f"select count(*) from deja.parked where group_id = '{group}'")


def is_done(cluster, database, group, topics):
    return unread(cluster, database, group, topics) == 0 and parked(database, group) == 0 and unpublished(database, group) == 0
