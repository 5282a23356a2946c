"""Every model ranks what can be learnt, in the labels' own unit, and says how sure it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictor.features.graph_pool import GraphPool
from predictor.features.nodes import PackedGraphs
from predictor.label_set import PROXIES, LabelSet
from predictor.models import ModelError, NothingKnownError, get_model, model_names
from predictor.models.aiop import Published
from predictor.models.small_tasks import merge_small_tasks
from predictor.models.transfer import TransferModel
from predictor.networks.fitting import TrainingSettings
from tests.support.synthetic_sets import label_set, random_graph

WEIGHTS = [1.0, 0.3, -0.5, 0.2, 0.4]
KNOWN = label_set("a/seg/x", 150, [0.9, 0.4, -0.6, 0.1, 0.5], first=1000)
MIN_SUPPORT, ASKED = label_set("a/det/x", 40, WEIGHTS), label_set("a/det/x", 200, WEIGHTS, seed=1, first=500)
NONE = MIN_SUPPORT.take(np.arange(0))
PUBLISHED = [name for name in model_names() if issubclass(get_model(name), Published)]


@pytest.fixture(autouse=True)
def _quick_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of epochs are for thousands of labels."""
    monkeypatch.setattr(Published, "pretraining", TrainingSettings(30, 32, 5e-3))
    monkeypatch.setattr(Published, "infusion", TrainingSettings(15, 32, 5e-3))
    monkeypatch.setattr(Published, "tuning", TrainingSettings(2, 1, 3e-4))
    monkeypatch.setattr(TransferModel, "settings", TrainingSettings(10, 32, 4e-3, decays=True))


def correlation(model: str, sources: list[LabelSet], support: LabelSet, asked: LabelSet = ASKED) -> float:
    fitted = get_model(model)(0)
    fitted.fit(sources)
    fitted.adapt(support)
    return float(spearmanr(fitted.predict(asked).mean, asked.values)[0])


@pytest.mark.parametrize("name", model_names())
def test_a_model_learns_from_few_labels(name: str) -> None:
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(MIN_SUPPORT)
    found = model.predict(ASKED)
    assert found.mean.shape == found.deviation.shape == (200,)
    assert (found.deviation > 0).all()
    assert spearmanr(found.mean, ASKED.values)[0] > (0.05 if name == "params" else 0.4 if name in PUBLISHED else 0.6)
    assert abs(found.mean.mean() - ASKED.values.mean()) < (0.1 if name in PUBLISHED else 0.05)
    again = get_model(name)(0)
    again.fit([KNOWN])
    again.adapt(MIN_SUPPORT)
    assert np.array_equal(again.predict(ASKED).mean, found.mean)


@pytest.mark.parametrize("name", model_names())
def test_values_of_the_asked_are_not_read(name: str) -> None:
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(MIN_SUPPORT)
    hidden = replace(ASKED, values=np.zeros(len(ASKED)))
    assert np.array_equal(model.predict(hidden).mean, model.predict(ASKED).mean)


@pytest.mark.parametrize("name", ["trees", "gp", *PUBLISHED, "default"])
def test_without_anything_to_learn_from_a_model_says_so(name: str) -> None:
    model = get_model(name)(0)
    model.fit([])
    with pytest.raises(NothingKnownError, match="nothing is known that tells of a/det/x: label or import more"):
        model.adapt(NONE)


def test_known_sets_help_and_misleading_ones_do_not_harm() -> None:
    support = MIN_SUPPORT.take(np.arange(5))
    assert correlation("default", [KNOWN], support) > max(correlation("gp", [KNOWN], support), 0.9)
    misleading = label_set("b/seg/x", 300, [-0.3, 1.0, 0.8, -1.0, 0.0], first=2000)
    assert correlation("default", [misleading], MIN_SUPPORT) > correlation("gp", [misleading], MIN_SUPPORT) - 0.02


def test_small_sets_are_learnt_from_together() -> None:
    families = [label_set(f"f{n}/seg/x", 12, WEIGHTS, first=4000 + 12 * n) for n in range(8)]
    families = [replace(one, values=one.values + 0.3 * n) for n, one in enumerate(families)]  # each has its own mean
    assert len({id(one.pool) for one in families}) == 8
    shared = _one_pool(families)
    (together,) = merge_small_tasks(shared)
    assert len(together) == 96
    assert together.values.std() < 0.25
    assert together.values.mean() == pytest.approx(np.mean([one.values.mean() for one in families]))
    assert correlation("default", shared, NONE) > 0.8
    assert [one.name for one in merge_small_tasks([*shared[:1], KNOWN])] == ["a/seg/x", "f0/seg/x"]


def _one_pool(sets: list[LabelSet]) -> list[LabelSet]:
    pool = GraphPool(
        PackedGraphs.join([one.pool.nodes for one in sets]), np.concatenate([one.pool.statistics for one in sets])
    )
    first = np.cumsum([0, *(len(one.pool) for one in sets)])
    return [replace(one, pool=pool, graphs=one.graphs + start) for one, start in zip(sets, first, strict=False)]


def test_without_labels_the_default_keeps_the_unit_of_sets_of_the_same_task_and_data() -> None:
    same = label_set("b/det/x", 300, WEIGHTS, first=3000)
    model = get_model("default")(0)
    model.fit([KNOWN, same])
    model.adapt(NONE)
    found = model.predict(ASKED)
    assert spearmanr(found.mean, ASKED.values)[0] > 0.9
    assert np.abs(found.mean - ASKED.values).mean() < 0.03
    held = (np.abs(found.mean - ASKED.values) < 1.645 * found.deviation).mean()
    assert held > 0.85
    model.fit([KNOWN, label_set("b/det/y", 300, WEIGHTS, first=3000)])
    model.adapt(NONE)
    assert np.isnan(model.predict(ASKED).deviation).all()  # ranks only
    assert spearmanr(model.predict(ASKED).mean, ASKED.values)[0] > 0.9


@pytest.mark.parametrize(
    "names", [[f"a/pano/{data}" for data in "stuvwxyz"], [f"{space}/det/x" for space in "stuvwxyz"]]
)
def test_many_others_do_not_outvote_the_set_that_is_known(names: list[str]) -> None:
    """Those of other data, and those of its own task and data whose recipes are others."""
    draw = np.random.default_rng(0)
    known = replace(label_set("a/det/x", 150, WEIGHTS, first=1000), recipes=("long",))
    others = [replace(label_set(n, 150, list(draw.normal(size=5)), first=1000), recipes=("short",)) for n in names]
    model = get_model("default")(0)
    model.fit([known, *others])
    model.adapt(replace(NONE, recipes=("long",)))
    found = model.predict(ASKED)
    missed = np.abs(found.mean - ASKED.values)
    assert missed.mean() < 0.2 * ASKED.values.std()
    assert found.deviation.mean() < 0.5 * ASKED.values.std()


def test_without_labels_the_unit_of_another_recipe_is_not_told() -> None:
    long, short = (
        replace(label_set("b/det/x", 300, WEIGHTS, first=3000), recipes=(name,)) for name in ("long", "short")
    )
    short = replace(short, name="c/det/x", values=short.values - 0.2)
    model = get_model("default")(0)
    model.fit([long, short])
    for recipe, offset in (("long", 0.0), ("short", -0.2)):
        model.adapt(replace(NONE, recipes=(recipe,)))
        assert np.abs(model.predict(ASKED).mean - offset - ASKED.values).mean() < 0.03
    model.adapt(replace(NONE, recipes=("another",)))
    other = model.predict(ASKED)
    assert np.isnan(other.deviation).all()  # ranks only
    assert spearmanr(other.mean, ASKED.values)[0] > 0.9
    model.adapt(NONE)  # no recipe told: in the unit of either
    assert np.isfinite(model.predict(ASKED).deviation).all()
    kept = TransferModel.restore(*model.state())
    kept.adapt(replace(NONE, recipes=("another",)))
    assert np.array_equal(kept.predict(ASKED).mean, other.mean)


def test_five_labels_leave_what_is_said_without_any() -> None:
    model = get_model("default")(0)
    model.fit([KNOWN])

    def ranks(support: LabelSet) -> float:
        model.adapt(support)
        return float(spearmanr(model.predict(ASKED).mean, ASKED.values)[0])

    noisy, without = label_set("a/det/x", 40, WEIGHTS, noise=0.3), ranks(NONE)
    draws = [ranks(noisy.take(np.arange(start, start + 5))) for start in range(0, 40, 5)]
    assert without > 0.95
    assert np.mean(draws) > without - 0.03


def with_head(of: LabelSet, first: int = 0) -> LabelSet:
    """The same networks, numbered from `first`, each with operations at its end that no known set has."""
    graphs = []
    for number in range(len(of)):
        graph = random_graph(first + number)
        *nodes, output = graph.nodes
        for op in ("resize", "softmax", "sigmoid", "matmul") * 4:
            nodes.append(replace(output, op=op, inputs=(len(nodes) - 1,)))
        graphs.append(replace(graph, nodes=(*nodes, replace(output, inputs=(len(nodes) - 1,)))))
    return replace(of, pool=GraphPool.of(graphs), graphs=np.arange(len(of)))


def test_what_all_networks_share_makes_no_opinion_doubtful() -> None:
    model = get_model("default")(0)
    model.fit([KNOWN])
    asked, noisy = with_head(ASKED, 500), with_head(label_set("a/det/x", 40, WEIGHTS, noise=1.0))

    def ranks(support: LabelSet) -> float:
        model.adapt(support)
        return float(spearmanr(model.predict(asked).mean, asked.values)[0])

    without = ranks(noisy.take(np.arange(0)))
    draws = [ranks(noisy.take(np.arange(start, start + 10))) for start in range(0, 40, 10)]
    assert np.mean(draws) > without - 0.08  # .10 below it, were they doubted


def test_intervals_hold_what_they_promise() -> None:
    support, asked = label_set("a/det/x", 100, WEIGHTS, noise=0.5), label_set("a/det/x", 500, WEIGHTS, 2, 0.5, 500)
    for name in ("gp", "trees", "default"):
        model = get_model(name)(0)
        model.fit([KNOWN])
        model.adapt(support)
        found = model.predict(asked)
        held = (np.abs(found.mean - asked.values) < 1.645 * found.deviation).mean()
        assert 0.82 <= held <= 0.97, name


@pytest.mark.parametrize("name", ["trees", "gp", "default"])
def test_proxies_tell_what_graphs_do_not(name: str) -> None:
    def scored(known: LabelSet, told: np.ndarray) -> LabelSet:
        proxies = np.full((len(known), len(PROXIES)), np.nan)
        proxies[::2, 3] = told[::2]  # half of them were never scored
        return replace(known, values=told, proxies=proxies)

    draw = np.random.default_rng(0)
    support, asked = (scored(one, draw.normal(size=len(one))) for one in (MIN_SUPPORT, ASKED))
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(support)
    found = model.predict(asked).mean
    assert spearmanr(found[::2], asked.values[::2])[0] > 0.7
    assert abs(spearmanr(found[1::2], asked.values[1::2])[0]) < 0.3


def test_an_unknown_model_is_one_line() -> None:
    with pytest.raises(
        ModelError, match="unknown model oracle: choose one of flops, params, trees, gp, gnn, aiop, aiop-flops"
    ):
        get_model("oracle")
