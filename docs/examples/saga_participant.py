#!/usr/bin/env python3
"""A participant of sagas in Python, standard library only: a bank whose accounts lie in SQLite behind a barrier.

    python3 saga_participant.py --listen 127.0.0.1:9001 --data a.db --open alice=1000 --open bob=0

serves the steps http://127.0.0.1:9001/debit and http://127.0.0.1:9001/credit, with payloads such as
{"account": "alice", "cents": 500}, and GET /accounts/alice. docs/saga.md says what the barrier is for; kill this process
wherever you like, start it again, and no money is lost.
"""

import argparse
import json
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
  name TEXT NOT NULL PRIMARY KEY,
  cents INTEGER NOT NULL CHECK (cents >= 0)
);
CREATE TABLE IF NOT EXISTS saga_barrier (
  saga TEXT NOT NULL,
  step TEXT NOT NULL,
  op TEXT NOT NULL CHECK (op IN ('execute', 'compensate')),
  outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'void')),
  detail TEXT NOT NULL DEFAULT '',
  at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (saga, step, op)
);
"""


class Refused(Exception):
    """The business says no, for good."""


class Barrier:
    """The rows of one saga's step, in a transaction that the caller has opened."""

    def __init__(self, db, saga, step):
        self.db, self.saga, self.step = db, saga, step

    def insert(self, op, outcome):
        """True when the row was not there."""
        sql = "INSERT INTO saga_barrier (saga, step, op, outcome) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        return self.db.execute(sql, (self.saga, self.step, op, outcome)).rowcount == 1

    def settle(self, op, outcome, detail):
        sql = "UPDATE saga_barrier SET outcome = ?, detail = ? WHERE saga = ? AND step = ? AND op = ?"
        self.db.execute(sql, (outcome, detail, self.saga, self.step, op))

    def rows(self):
        sql = "SELECT op, outcome, detail FROM saga_barrier WHERE saga = ? AND step = ?"
        return {op: (outcome, detail) for op, outcome, detail in self.db.execute(sql, (self.saga, self.step))}

    def execute(self, business):
        """The status and body to answer once the transaction has committed."""
        # The row comes first: whoever comes second finds it.
        if not self.insert("execute", "ok"):
            rows = self.rows()
            outcome, detail = rows["execute"]
            if "compensate" in rows or outcome == "void":
                # Late: its compensation is done. To answer OK would be a lie, to do it would lose money.
                return 409, "aborted: it was compensated"
            return (200 if outcome == "ok" else 409), detail
        self.db.execute("SAVEPOINT business")
        try:
            output = business()
        except Refused as why:
            # Without a trace of the business, but with one of the failure: a late copy must not succeed after all.
            self.db.execute("ROLLBACK TO business")
            self.settle("execute", "failed", str(why))
            return 409, str(why)
        self.settle("execute", "ok", output)
        return 200, output

    def compensate(self, business):
        """As `execute`. A `Refused` undoes the whole transaction: it is asked again."""
        if self.insert("execute", "void"):
            # It never arrived, and must not arrive any more.
            self.insert("compensate", "void")
        elif self.insert("compensate", "ok"):
            if self.rows()["execute"][0] == "ok":
                business()
        return 200, ""


def add(db, account, cents):
    """Changes a balance, which must not fall below zero."""
    sql = "UPDATE account SET cents = cents + ? WHERE name = ? AND cents + ? >= 0"
    if db.execute(sql, (cents, account, cents)).rowcount != 1:
        raise Refused(f"there is no account {account}, or not enough in it")
    return json.dumps({"account": account, "change": cents})


# What each step does to the balance of its account.
SIGNS = {"debit": -1, "credit": 1}


def call(path, saga, step, op, wish):
    """One call of the coordinator in one transaction: the status and body to answer."""
    account, cents = wish["account"], wish["cents"]
    if type(cents) is not int or not 0 < cents < 2**62:
        return 409, f"cents: a positive integer is wanted, not {cents!r}"
    change = SIGNS[path] * cents
    db = connect()
    try:
        db.execute("BEGIN IMMEDIATE")
        barrier = Barrier(db, saga, step)
        try:
            if op == "execute":
                answer = barrier.execute(lambda: add(db, account, change))
            else:
                answer = barrier.compensate(lambda: add(db, account, -change))
        except Refused as why:
            db.execute("ROLLBACK")
            return 409, str(why)
        # Only what is committed is answered.
        db.execute("COMMIT")
        return answer
    finally:
        # Whatever is not committed by now is rolled back.
        db.close()


def connect():
    # Without isolation level Python begins no transaction behind our back.
    return sqlite3.connect(ARGS.data, timeout=30, isolation_level=None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = [self.headers.get(name) for name in ("x-saga-id", "x-saga-step", "x-saga-op")]
        parts = self.path.strip("/").split("/")
        if len(parts) != 2 or parts[0] not in SIGNS or parts[1] != headers[2] or None in headers:
            return self.answer(404, "POST /debit/execute, /debit/compensate, /credit/execute or /credit/compensate")
        try:
            self.answer(*call(parts[0], *headers, json.loads(body)))
        except Exception as error:
            # Nobody knows: asked again.
            self.answer(500, repr(error))

    def do_GET(self):
        name = self.path.removeprefix("/accounts/")
        db = connect()
        row = db.execute("SELECT cents FROM account WHERE name = ?", (name,)).fetchone()
        db.close()
        if row is None:
            return self.answer(404, f"no account {name}")
        self.answer(200, json.dumps({"account": name, "cents": row[0]}))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # Python's own is 5: a burst of calls would wait for SYNs to be repeated.
    request_queue_size = 128


def main():
    db = connect()
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA)
    for account in ARGS.open:
        name, cents = account.split("=")
        db.execute("INSERT INTO account VALUES (?, ?) ON CONFLICT DO NOTHING", (name, int(cents)))
    db.close()
    host, port = ARGS.listen.rsplit(":", 1)
    server = Server((host, int(port)), Handler)
    print(f"serving http://{ARGS.listen}/debit and /credit", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A participant of sagas: a bank in SQLite")
    parser.add_argument("--listen", default="127.0.0.1:9001", metavar="HOST:PORT")
    parser.add_argument("--data", default="bank.db", metavar="FILE")
    parser.add_argument("--open", action="append", default=[], metavar="NAME=CENTS", help="an account, unless it is there")
    ARGS = parser.parse_args()
    main()
