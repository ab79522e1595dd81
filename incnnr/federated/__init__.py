"""Federated learning: the global model down and the clients' models up, as updates, over whatever carries bytes."""

from incnnr.federated.collector import Collector
from incnnr.federated.downlink import Downlink, Receiver, Reference
from incnnr.federated.memory import Memory
from incnnr.federated.messages import Broadcast, Reply
from incnnr.federated.uplink import Uplink

__all__ = ["Broadcast", "Collector", "Downlink", "Memory", "Receiver", "Reference", "Reply", "Uplink"]
