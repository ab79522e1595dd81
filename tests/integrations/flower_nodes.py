"""A Flower grid whose nodes live in this process, and a small app for them: least squares in numpy."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from itertools import count

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

N_NODES = 4
SHAPES = {"layer.weight": (30, 20), "layer.bias": (30,), "steps": (1,)}

try:
    TASK = import_module("flwr.supercore.task_identity").TaskIdentity
    TASK.run_id, TASK.node_id, TASK.task_id = 1, 1, 1
except ModuleNotFoundError:
    pass  # older versions do not ask who makes a message


class Nodes(Grid):
    """Runs a ClientApp for each node, with a context that it keeps; `is_lost` may take messages away on both ways."""

    def __init__(self, apps, is_lost=lambda: False):
        self.apps = dict(enumerate(apps, start=101))
        self.contexts = {node_id: new_context(node_id) for node_id in self.apps}
        self.down, self.up = [], []
        self.pull_interval = 0
        self._is_lost = is_lost
        self._replies = {}
        self._ids = count(1)

    def set_run(self, run):
        self._run = run

    @property
    def run(self):
        return None

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self):
        return list(self.apps)

    def push_messages(self, messages):
        return [self._pushed(message) for message in messages]

    def pull_messages(self, message_ids):
        return [self._replies.pop(message_id) for message_id in list(message_ids) if message_id in self._replies]

    def send_and_receive(self, messages, **_):
        return self.pull_messages(self.push_messages(messages))

    def _pushed(self, message):
        message_id = message.metadata.__dict__["_message_id"] = f"m{next(self._ids)}"
        self.down.append(n_bytes(message))
        if self._is_lost():
            return message_id
        node_id = message.metadata.dst_node_id
        arrived = deepcopy(message)
        try:
            reply = self.apps[node_id](arrived, self.contexts[node_id])
        except Exception as error:
            reply = Message(Error(0, repr(error)), reply_to=arrived)
        self.up.append(n_bytes(reply))
        if not self._is_lost():
            self._replies[message_id] = deepcopy(reply)
        return message_id


def new_context(node_id):
    return Context(run_id=1, node_id=node_id, node_config={}, state=RecordDict(), run_config={})


def n_bytes(message):
    if not message.has_content():
        return 0
    return sum(len(array.data) for record in message.content.array_records.values() for array in record.values())


def initial_arrays(seed=0):
    rng = np.random.default_rng(seed)
    return ArrayRecord(
        {name: Array(np.asarray(rng.normal(0, 0.1, s).astype(np.float32))) for name, s in SHAPES.items()}
    )


def target(node_id):
    rng = np.random.default_rng(node_id)
    return {name: np.asarray(rng.normal(1, 0.2, shape).astype(np.float32)) for name, shape in SHAPES.items()}


def learning_app(mods, train_mods=()):
    """Make an app that moves half the way to the target of its node."""
    app = ClientApp(mods=mods)

    @app.train(mods=list(train_mods))
    def train(message, context):
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        goal = target(context.node_id)
        moved = {name: Array(np.asarray(a + (goal[name] - a) / 2).astype(np.float32)) for name, a in arrays.items()}
        metrics = MetricRecord({"num-examples": 10, "loss": distance(arrays, goal)})
        return Message(RecordDict({"arrays": ArrayRecord(moved), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        metrics = MetricRecord({"num-examples": 10, "loss": distance(arrays, target(context.node_id))})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def distance(arrays, goal):
    return float(np.sqrt(np.mean([np.mean((a - goal[name]) ** 2) for name, a in arrays.items()])))


def mean_target(node_ids):
    targets = [target(node_id) for node_id in node_ids]
    return {name: np.mean([t[name] for t in targets], axis=0) for name in SHAPES}


def question(node_id, arrays, message_type="train"):
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 1})})
    return Message(content, node_id, message_type)
