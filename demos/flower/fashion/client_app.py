"""What runs on every client."""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fashion.data import Images, share_of
from fashion.network import accuracy, new_network, train
from incnnr.federated.flower import ClientMod

app = ClientApp(mods=[ClientMod(qp=-26, memory_age=10)])


@app.train()
def train_on_own_images(message: Message, context: Context) -> Message:
    """Train what the server sent on the images that this client has."""
    network, images = network_of(message), own_images(context)
    loss = train(
        network,
        images,
        n_epochs=int(context.run_config["local-epochs"]),
        learning_rate=float(context.run_config["learning-rate"]),
        seed=int(message.content["config"]["server-round"]),
    )
    metrics = MetricRecord({"num-examples": len(images), "loss": loss})
    return Message(RecordDict({"arrays": ArrayRecord(network.state_dict()), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate_on_own_images(message: Message, context: Context) -> Message:
    """Test what the server sent on the images that this client has."""
    images = own_images(context)
    metrics = MetricRecord({"num-examples": len(images), "accuracy": accuracy(network_of(message), images)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def network_of(message: Message) -> torch.nn.Module:
    torch.set_num_threads(1)
    network = new_network()
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return network


def own_images(context: Context) -> Images:
    client, n_clients = (int(context.node_config[name]) for name in ("partition-id", "num-partitions"))
    return share_of(client, n_clients, int(context.run_config["images"]), int(context.run_config["seed"]))
