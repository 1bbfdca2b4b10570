#!/usr/bin/env python3
"""A participant in 60 lines of another language: NATS and JSON are all it takes. It keeps a set of tenants."""
import json, os, socket, sys, time, urllib.request, uuid
from datetime import datetime, timezone
from urllib.parse import urlparse

NAME, STREAM, tenants = "index", "TENURE_EVENTS", set()

def provision(step, tenant):
    (tenants.discard if step.get("compensate") else tenants.add)(tenant)

def erase(step, tenant):
    before = int(tenant in tenants)
    tenants.discard(tenant)
    return {"before": before, "after": 0}

ACTIONS = {"provision": provision, "erase": erase, "verify": lambda s, t: {"before": 0, "after": int(t in tenants)}}

class Bus:  # the little of NATS' text protocol that is needed: one request at a time
    def __init__(self, url):
        at = urlparse(url)
        self.io = socket.create_connection((at.hostname, at.port or 4222)).makefile("rwb")
        login = {"verbose": False, "headers": True, "user": at.username or "", "pass": at.password or ""}
        self.inbox = "_INBOX." + uuid.uuid4().hex
        self.send(f"CONNECT {json.dumps(login)}\r\nSUB {self.inbox} 1\r\n".encode())
    def send(self, data):
        self.io.write(data); self.io.flush()
    def publish(self, subject, body, reply=""):
        self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")
    def receive(self):  # -> (reply subject, headers, body)
        while line := self.io.readline().decode().split():
            if line[0] == "PING": self.send(b"PONG\r\n")
            if line[0] in ("MSG", "HMSG"):
                head, size = (int(line[-2]), int(line[-1])) if line[0] == "HMSG" else (0, int(line[-1]))
                data = self.io.read(size + 2)
                return (line[3] if len(line) > 4 + (line[0] == "HMSG") else ""), data[:head], data[head:size]
        sys.exit("the bus is gone")  # whoever runs this starts it again
    def request(self, subject, body):
        self.publish(subject, json.dumps(body).encode(), self.inbox)
        return json.loads(self.receive()[2])

bus = Bus(os.environ["NATS_URL"])
consumer = f"participant_{NAME}"  # durable: what is asked for while this program is down is not lost
bus.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.{consumer}.tenure.events.lifecycle.*.step.requested", {
    "stream_name": STREAM, "config": {"durable_name": consumer, "deliver_policy": "new", "ack_policy": "explicit", "ack_wait": 10 * 10**9,
    "filter_subject": "tenure.events.lifecycle.*.step.requested", "max_ack_pending": 1}})
urllib.request.urlopen(urllib.request.Request(os.environ["TENURE_URL"] + f"/v1/participants/{NAME}", method="PUT",
    data=json.dumps({"actions": list(ACTIONS)}).encode(),
    headers={"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["TENURE_TOKEN"]}))
while True:
    bus.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}", b'{"batch":1,"expires":5000000000}', bus.inbox)
    ack, headers, body = bus.receive()
    if b"NATS/1.0 4" in headers: continue  # nothing for five seconds
    try:
        event = json.loads(body); step = event["data"]; tenant = event["subject"]
        late = datetime.fromisoformat(step["deadline"][:19] + "+00:00") < datetime.now(timezone.utc)
        mine = step["participant"] == NAME and not late
    except (ValueError, KeyError, TypeError): mine = False
    if mine:
        answer, name = {"step_id": step["step_id"], "participant": NAME}, "step.completed"
        try: answer["result"] = ACTIONS[step["action"]](step, tenant)
        except Exception as e: name, answer["error"], answer["permanent"] = "step.failed", repr(e), isinstance(e, KeyError)
        bus.request(f"tenure.events.{NAME}.{tenant}.{name}", {"specversion": "1.0", "id": f"{step['step_id']}.{step['attempt']}",
            "source": f"tenure/{NAME}", "type": f"tenure.{NAME}.{name}.v1", "subject": tenant, "causationid": event["id"],
            "time": datetime.now(timezone.utc).isoformat(), "data": answer})  # answered by the stream: it is safe there
    bus.publish(ack, b"+ACK")  # after the answer: killed in between, it is asked again
