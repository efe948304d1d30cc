"""Dead letters that another handler of the group is to run: the same key, lane and order."""

from fault_sandbox import main, record, wait_until
from replay import Replays

FIRST, SECOND = "first", "second"


class WhenAnotherHandlerIsToRunThem(Replays):
    def setUp(self):
        super().setUp()
        self.program = "deja-two-handlers"
        self.other = self.topic("other", 1)
        self.database.run("create table taken (n bigint generated always as identity, topic text, value text)")

    def begin(self, topics=None, **options):
        return super().start({"app.topics": topics or [self.records, self.other]}, **options)

    def put_values(self, *values, key=b"k"):
        self.put(*((key, value.encode(), [("Idempotency-Key", value.encode())]) for value in values))

    def taken(self):
        return [(row["topic"], row["value"]) for row in self.database.rows("select topic, value from taken order by n")]

    def redirect(self, *words, code=0):
        found, out, error = self.deja("dlq", "redirect", *words, *(() if "--dry-run" in words else ("--reason", "the second knows them", "--yes")))
        self.assertEqual(found, code, error)
        return error

    def test_they_keep_their_keys_and_their_order(self):
        program = self.begin()
        self.put_values("a", "b", "poison", "c")
        self.await_dead(0, 1, 2, 3)
        self.redirect("--all", "--to", SECOND, "--dry-run")
        self.assertEqual(self.taken(), [])
        self.redirect("--all", "--to", SECOND, "--wait", code=1)  # one fails again
        self.assertEqual(self.taken(), [(self.records, "a"), (self.records, "b"), (self.records, "c")])
        self.assertEqual(self.status(), {0: "replayed", 1: "replayed", 2: "open", 3: "replayed"})
        letter = self.rows("dlq", "show", str(self.letter(2)))[0]
        self.assertIn("the second handler does not take it", letter["error"])
        action = self.rows("dlq", "actions")[0]
        self.assertEqual((action["kind"], action["done"], action["failed"]), (f"redirect to {SECOND}", 3, 1))
        self.put_values("a", "b")  # the producer sends them again
        wait_until(lambda: self.consumed() == 6, 60, "the twins", program)
        self.assertEqual([(row["status"], row["dlq_id"], row["replays"]) for row in self.rows("key", "a", "--handler", FIRST)], [("processed", self.letter(0), 1)])
        self.assertEqual(len(self.taken()), 3, "twins are duplicates under the first handler's keys")
        self.assertEqual(self.rows("audit-log")[-1]["action"], "dlq redirect")
        # without another word a replay is the first handler's again
        self.replay(str(self.letter(2)), "--wait", code=1)
        self.assertIn("the first handler takes nothing", self.rows("dlq", "show", str(self.letter(2)))[0]["error"])
        self.clean(program)

    def test_a_handler_that_its_topics_program_does_not_have_is_refused(self):
        program = self.begin()
        self.put_values("a")
        self.await_dead(0)
        self.assertIn("no program of group", self.redirect("--all", "--to", "third", code=65))
        self.redirect("--all", code=64)
        self.drain(program)
        # another program has the second handler, and the one that works the topic is not asked what it does not have
        self.database.run(f"insert into deja.handlers (group_id, handler, instance, topics, strategy, build) values ('{self.group}', 'third', 'elsewhere', '{{elsewhere}}', 's', 'b')")
        program = self.begin(log="again")
        self.assertIn("is not worked by a program that has handler third", self.redirect("--all", "--to", "third", code=65))
        self.assertEqual(self.status(), {0: "open"})
        self.clean(program)

    def test_it_is_paused_resumed_and_cancelled_like_a_replay(self):
        program = self.begin()
        self.put_values("a", "b")
        self.await_dead(0, 1)
        self.drain(program)
        self.redirect("--all", "--to", SECOND)
        number = str(self.rows("dlq", "actions")[0]["action_id"])
        why = ("--reason", "the wrong handler", "--yes")
        self.assertEqual([self.rows("dlq", what, number, *why)[0]["state"] for what in ("pause", "resume", "cancel")], ["paused", "running", "cancelled"])
        self.assertEqual(self.status(), {0: "open", 1: "open"})
        self.assertEqual(self.taken(), [])
        self.clean()

    def test_one_whose_program_has_lost_the_handler_is_a_dead_letter_again(self):
        program = self.begin()
        self.put_values("a", "b")
        self.await_dead(0, 1)
        self.drain(program)
        self.redirect("--all", "--to", SECOND)
        self.database.run("update deja.dlq_actions set redirect_to = 'third'")  # as if that program were an older one
        program = self.begin(log="again")
        self.await_dead(0, 1)
        self.assertIn("does not have", self.rows("dlq", "show", str(self.letter(0)))[0]["error"])
        self.assertEqual(self.taken(), [])
        self.clean(program)


if __name__ == "__main__":
    main()
