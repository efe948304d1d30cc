#!/usr/bin/env python3
"""A fault proxy for a shell: takes commands, one a line, from stdin or over a local socket, and answers each with one line.

usage: fault_proxy_server.py --target HOST:PORT [--listen HOST:PORT] [--postgres] [--control HOST:PORT]

  --target   where connections go
  --listen   where clients connect (default 127.0.0.1:0; the port is in the first line printed)
  --postgres the target is a Postgres: statements and COMMITs are known
  --control  take commands over this socket instead of stdin (port 0 picks one; it is printed)

commands:
  half-open [CONNECTION]        no byte passes any more, nothing is closed; without a number: all, new ones too
  freeze | thaw                 no byte passes until thaw
  delay MS                      every byte later
  delay-statements MS           every statement later           (--postgres)
  delay-commits MS              every COMMIT later              (--postgres)
  cut-commits before|between|after TIMES [SHARE]                (--postgres)
  reset [CONNECTION]            RST both ways
  cut [CONNECTION]              close both ways
  refuse | accept               new connections
  heal                          no fault any more for new connections
  await EVENT [SECONDS] [AFTER] waits for an event; the answer has its number
  counts                        events so far
  connections                   numbers of the open ones
  quit
"""

import argparse
import json
import signal
import socket
import sys

from fault_proxy import FaultProxy


def address(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def obey(proxy, line):
    word, *rest = line.split()
    number = int(rest[0]) if rest and word in ("half-open", "reset", "cut") else None
    actions = {
        "half-open": lambda: proxy.half_open(number), "freeze": proxy.freeze, "thaw": proxy.thaw, "heal": proxy.heal,
        "delay": lambda: proxy.delay(float(rest[0])), "delay-statements": lambda: proxy.delay_statements(float(rest[0])),
        "delay-commits": lambda: proxy.delay_commits(float(rest[0])),
        "cut-commits": lambda: proxy.cut_commits(rest[0], int(rest[1]), float(rest[2]) if len(rest) > 2 else 1.0),
        "reset": lambda: proxy.reset(number), "cut": lambda: proxy.cut(number),
        "refuse": proxy.refuse, "accept": lambda: proxy.refuse(False),
        "await": lambda: proxy.await_event(rest[0], float(rest[1]) if len(rest) > 1 else 60, int(rest[2]) if len(rest) > 2 else 0).number,
        "counts": lambda: dict(proxy.counts), "connections": proxy.open_connections,
    }
    if word not in actions:
        raise ValueError(f"unknown command: {word}")
    answer = actions[word]()
    return json.dumps(answer) if answer is not None and word in ("await", "counts", "connections") else ""


def serve(proxy, lines, out):
    """Until the lines end; False when one said quit."""
    for line in lines:
        if line.strip() == "quit":
            return False
        if not line.strip():
            continue
        try:
            out.write(f"ok {obey(proxy, line)}".rstrip() + "\n")
        except (ValueError, IndexError, AssertionError) as error:
            out.write(f"error {' '.join(str(error).split())}\n")
        out.flush()
    return True


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--target", type=address, required=True)
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 0))
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--control", type=address)
    parser.add_argument("-h", "--help", action="store_true")
    if "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__)
        return 0
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    proxy = FaultProxy(options.target, options.listen, options.postgres)
    print("listen {}:{}".format(*proxy.address), flush=True)
    try:
        if not options.control:
            serve(proxy, sys.stdin, sys.stdout)
            return 0
        with socket.create_server(options.control) as control:
            print("control {}:{}".format(*control.getsockname()), flush=True)
            going = True
            while going:
                client, _ = control.accept()
                with client, client.makefile("rw") as lines:
                    going = serve(proxy, lines, lines)
        return 0
    except KeyboardInterrupt:
        return 130
    finally:
        proxy.close()


if __name__ == "__main__":
    sys.exit(main())
