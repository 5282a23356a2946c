"""Zero-cost proxies: scores of an untrained network from one batch. Importing it registers all of them."""

from workers.proxies import activations, flow, jacobian, saliency
from workers.proxies.base import Probe, proxy_families, score
from workers.proxies.evaluator import ProxyEvaluator

__all__ = [
    "Probe",
    "ProxyEvaluator",
    "activations",
    "flow",
    "jacobian",
    "proxy_families",
    "saliency",
    "score",
]
