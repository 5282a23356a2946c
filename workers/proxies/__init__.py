"""Zero-cost proxies: scores of an untrained network from one batch. Importing this package registers all of them."""

from workers.proxies import activations, flow, jacobian, saliency
from workers.proxies.base import Probe, compute_scores, proxy_families
from workers.proxies.evaluator import ProxyEvaluator

__all__ = [
    "Probe",
    "ProxyEvaluator",
    "activations",
    "compute_scores",
    "flow",
    "jacobian",
    "proxy_families",
    "saliency",
]
