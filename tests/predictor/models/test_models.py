"""Every model ranks networks and predicts labels in their own unit, with a standard deviation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictor.features.graph_pool import GraphPool
from predictor.features.nodes import PackedGraphs
from predictor.label_set import PROXIES, LabelSet
from predictor.models import ModelError, NothingKnownError, get_model, model_names
from predictor.models.aiop import AIOPBase
from predictor.models.small_tasks import merge_small_tasks
from predictor.models.transfer import TransferModel
from predictor.networks.examples import STOP_FOLD, folds
from predictor.networks.fitting import TrainingSettings
from tests.support.synthetic_sets import label_set, random_graph

WEIGHTS = [1.0, 0.3, -0.5, 0.2, 0.4]
KNOWN = label_set("a/seg/x", 150, [0.9, 0.4, -0.6, 0.1, 0.5], first=1000)
SUPPORT, QUERY = label_set("a/det/x", 40, WEIGHTS), label_set("a/det/x", 200, WEIGHTS, seed=1, first=500)
NO_LABELS = SUPPORT.take(np.arange(0))
AIOP_MODELS = [name for name in model_names() if issubclass(get_model(name), AIOPBase)]


@pytest.fixture(autouse=True)
def _short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of epochs are for thousands of labels."""
    monkeypatch.setattr(AIOPBase, "pretraining", TrainingSettings(30, 32, 5e-3))
    monkeypatch.setattr(AIOPBase, "adapter_training", TrainingSettings(15, 32, 5e-3))
    monkeypatch.setattr(AIOPBase, "fine_tuning", TrainingSettings(2, 1, 3e-4))
    monkeypatch.setattr(TransferModel, "fit_settings", TrainingSettings(10, 32, 4e-3, cosine_decay=True))


def correlation(model: str, sources: list[LabelSet], support: LabelSet, query: LabelSet = QUERY) -> float:
    fitted = get_model(model)(0)
    fitted.fit(sources)
    fitted.adapt(support)
    return float(spearmanr(fitted.predict(query).mean, query.values)[0])


@pytest.mark.parametrize("name", model_names())
def test_a_model_predicts_from_few_labels(name: str) -> None:
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(SUPPORT)
    prediction = model.predict(QUERY)
    assert prediction.mean.shape == prediction.deviation.shape == (200,)
    assert (prediction.deviation > 0).all()
    least = {"params": 0.05, "wl": 0.1}  # kernels on operations see no widths
    expected = least.get(name, 0.4 if name in AIOP_MODELS else 0.6)
    assert spearmanr(prediction.mean, QUERY.values)[0] > expected
    assert abs(prediction.mean.mean() - QUERY.values.mean()) < (0.1 if name in AIOP_MODELS else 0.05)
    again = get_model(name)(0)
    again.fit([KNOWN])
    again.adapt(SUPPORT)
    assert np.array_equal(again.predict(QUERY).mean, prediction.mean)


@pytest.mark.parametrize("name", model_names())
def test_values_of_the_query_are_not_read(name: str) -> None:
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(SUPPORT)
    hidden = replace(QUERY, values=np.zeros(len(QUERY)))
    assert np.array_equal(model.predict(hidden).mean, model.predict(QUERY).mean)


@pytest.mark.parametrize("name", ["trees", "gp", "wl", "rgpe", "forest-tasks", *AIOP_MODELS, "default"])
def test_a_model_without_any_labels_raises_an_error(name: str) -> None:
    model = get_model(name)(0)
    model.fit([])
    with pytest.raises(NothingKnownError, match="no labels to predict a/det/x from: label or import more"):
        model.adapt(NO_LABELS)


def test_source_tasks_help_and_misleading_ones_do_no_harm() -> None:
    support = SUPPORT.take(np.arange(5))
    assert correlation("default", [KNOWN], support) > max(correlation("gp", [KNOWN], support), 0.9)
    misleading = label_set("b/seg/x", 300, [-0.3, 1.0, 0.8, -1.0, 0.0], first=2000)
    assert correlation("default", [misleading], SUPPORT) > correlation("gp", [misleading], SUPPORT) - 0.02


def test_a_set_without_held_out_labels_is_predicted() -> None:
    names = SUPPORT.architectures
    kept = SUPPORT.take(folds(names) != STOP_FOLD)
    model = get_model("default")(0)
    model.fit([kept])
    model.adapt(NO_LABELS)
    assert (model.predict(QUERY).deviation > 0).all()


def test_small_sets_are_merged() -> None:
    families = [label_set(f"f{n}/seg/x", 12, WEIGHTS, first=4000 + 12 * n) for n in range(8)]
    families = [replace(one, values=one.values + 0.3 * n) for n, one in enumerate(families)]  # each has its own mean
    assert len({id(one.pool) for one in families}) == 8
    shared = _one_pool(families)
    (merged,) = merge_small_tasks(shared)
    assert len(merged) == 96
    assert merged.values.std() < 0.25
    assert merged.values.mean() == pytest.approx(np.mean([one.values.mean() for one in families]))
    assert correlation("default", shared, NO_LABELS) > 0.8
    assert [one.name for one in merge_small_tasks([*shared[:1], KNOWN])] == ["a/seg/x", "f0/seg/x"]


def _one_pool(sets: list[LabelSet]) -> list[LabelSet]:
    pool = GraphPool(
        PackedGraphs.join([one.pool.nodes for one in sets]), np.concatenate([one.pool.statistics for one in sets])
    )
    first = np.cumsum([0, *(len(one.pool) for one in sets)])
    return [replace(one, pool=pool, graphs=one.graphs + start) for one, start in zip(sets, first, strict=False)]


def test_without_labels_the_default_predicts_in_the_unit_of_the_same_task_and_data() -> None:
    same = label_set("b/det/x", 300, WEIGHTS, first=3000)
    model = get_model("default")(0)
    model.fit([KNOWN, same])
    model.adapt(NO_LABELS)
    prediction = model.predict(QUERY)
    assert spearmanr(prediction.mean, QUERY.values)[0] > 0.9
    assert np.abs(prediction.mean - QUERY.values).mean() < 0.03
    coverage = (np.abs(prediction.mean - QUERY.values) < 1.645 * prediction.deviation).mean()
    assert coverage > 0.85
    model.fit([KNOWN, label_set("b/det/y", 300, WEIGHTS, first=3000)])
    model.adapt(NO_LABELS)
    assert np.isnan(model.predict(QUERY).deviation).all()  # ranks only
    assert spearmanr(model.predict(QUERY).mean, QUERY.values)[0] > 0.9


@pytest.mark.parametrize(
    "names", [[f"a/pano/{data}" for data in "stuvwxyz"], [f"{space}/det/x" for space in "stuvwxyz"]]
)
def test_many_other_tasks_do_not_outweigh_the_related_one(names: list[str]) -> None:
    """Others are tasks on other data sets, and sets of the same task and data with other recipes."""
    draw = np.random.default_rng(0)
    known = replace(label_set("a/det/x", 150, WEIGHTS, first=1000), recipes=("long",))
    others = [replace(label_set(n, 150, list(draw.normal(size=5)), first=1000), recipes=("short",)) for n in names]
    model = get_model("default")(0)
    model.fit([known, *others])
    model.adapt(replace(NO_LABELS, recipes=("long",)))
    prediction = model.predict(QUERY)
    missed = np.abs(prediction.mean - QUERY.values)
    assert missed.mean() < 0.2 * QUERY.values.std()
    assert prediction.deviation.mean() < 0.5 * QUERY.values.std()


def test_without_labels_another_recipe_is_only_ranked() -> None:
    long, short = (
        replace(label_set("b/det/x", 300, WEIGHTS, first=3000), recipes=(name,)) for name in ("long", "short")
    )
    short = replace(short, name="c/det/x", values=short.values - 0.2)
    model = get_model("default")(0)
    model.fit([long, short])
    for recipe, offset in (("long", 0.0), ("short", -0.2)):
        model.adapt(replace(NO_LABELS, recipes=(recipe,)))
        assert np.abs(model.predict(QUERY).mean - offset - QUERY.values).mean() < 0.03
    model.adapt(replace(NO_LABELS, recipes=("another",)))
    other = model.predict(QUERY)
    assert np.isnan(other.deviation).all()  # ranks only
    assert spearmanr(other.mean, QUERY.values)[0] > 0.9
    model.adapt(NO_LABELS)  # unknown recipe: in the unit of either
    assert np.isfinite(model.predict(QUERY).deviation).all()
    restored = TransferModel.restore(*model.state())
    restored.adapt(replace(NO_LABELS, recipes=("another",)))
    assert np.array_equal(restored.predict(QUERY).mean, other.mean)


def test_five_noisy_labels_do_not_worsen_the_ranking() -> None:
    model = get_model("default")(0)
    model.fit([KNOWN])

    def ranks(support: LabelSet) -> float:
        model.adapt(support)
        return float(spearmanr(model.predict(QUERY).mean, QUERY.values)[0])

    noisy, without = label_set("a/det/x", 40, WEIGHTS, noise=0.3), ranks(NO_LABELS)
    draws = [ranks(noisy.take(np.arange(start, start + 5))) for start in range(0, 40, 5)]
    assert without > 0.95
    assert np.mean(draws) > without - 0.03


def with_head(of: LabelSet, first: int = 0) -> LabelSet:
    """Return the same networks, numbered from `first`, each with final operations that no source task has."""
    graphs = []
    for number in range(len(of)):
        graph = random_graph(first + number)
        *nodes, output = graph.nodes
        for op in ("resize", "softmax", "sigmoid", "matmul") * 4:
            nodes.append(replace(output, op=op, inputs=(len(nodes) - 1,)))
        graphs.append(replace(graph, nodes=(*nodes, replace(output, inputs=(len(nodes) - 1,)))))
    return replace(of, pool=GraphPool.of(graphs), graphs=np.arange(len(of)))


def test_an_offset_of_all_networks_does_not_lower_the_weight_of_source_tasks() -> None:
    model = get_model("default")(0)
    model.fit([KNOWN])
    query, noisy = with_head(QUERY, 500), with_head(label_set("a/det/x", 40, WEIGHTS, noise=1.0))

    def ranks(support: LabelSet) -> float:
        model.adapt(support)
        return float(spearmanr(model.predict(query).mean, query.values)[0])

    without = ranks(noisy.take(np.arange(0)))
    draws = [ranks(noisy.take(np.arange(start, start + 10))) for start in range(0, 40, 10)]
    assert np.mean(draws) > without - 0.08  # it would be .10 below without the shift into range


def test_intervals_have_the_promised_coverage() -> None:
    support, query = label_set("a/det/x", 100, WEIGHTS, noise=0.5), label_set("a/det/x", 500, WEIGHTS, 2, 0.5, 500)
    for name in ("gp", "trees", "extra-trees", "default"):
        model = get_model(name)(0)
        model.fit([KNOWN])
        model.adapt(support)
        prediction = model.predict(query)
        coverage = (np.abs(prediction.mean - query.values) < 1.645 * prediction.deviation).mean()
        assert 0.82 <= coverage <= 0.97, name


@pytest.mark.parametrize("name", ["trees", "gp", "default"])
def test_proxies_are_used(name: str) -> None:
    def scored(known: LabelSet, scores: np.ndarray) -> LabelSet:
        proxies = np.full((len(known), len(PROXIES)), np.nan)
        proxies[::2, 3] = scores[::2]  # half of them were never scored
        return replace(known, values=scores, proxies=proxies)

    draw = np.random.default_rng(0)
    support, query = (scored(one, draw.normal(size=len(one))) for one in (SUPPORT, QUERY))
    model = get_model(name)(0)
    model.fit([KNOWN])
    model.adapt(support)
    prediction = model.predict(query).mean
    assert spearmanr(prediction[::2], query.values[::2])[0] > 0.7
    assert abs(spearmanr(prediction[1::2], query.values[1::2])[0]) < 0.3


def test_an_unknown_model_is_reported_in_one_line() -> None:
    with pytest.raises(
        ModelError, match="unknown model oracle: choose one of flops, params, trees, gp, extra-trees, random-forest"
    ):
        get_model("oracle")


def test_a_name_may_have_settings() -> None:
    variant = get_model("default:slope=0.3,forests=false")
    assert variant.name == "default:slope=0.3,forests=false"
    assert issubclass(variant, TransferModel)
    assert (variant.settings.slope, variant.settings.forests) == (0.3, False)
    assert (TransferModel.settings.slope, TransferModel.settings.forests) == (0.5, True)
    with pytest.raises(ModelError, match=r"model default: setting 'slop': .*: the settings are slope, "):
        get_model("default:slop=0.3")
    with pytest.raises(ModelError, match="model default: setting 'slope': Input should be less than 1"):
        get_model("default:slope=2")
    with pytest.raises(ModelError, match="model gp: has no settings, so leave out 'slope'"):
        get_model("gp:slope=0.3")


def test_sets_that_were_merged_keep_their_own_unit() -> None:
    low = replace(label_set("low/seg/x", 25, WEIGHTS), recipes=("full/a/1",))
    high = replace(low, name="high/seg/x", values=low.values + 3, recipes=("full/b/2",))
    model = get_model("default")(0)
    model.fit([low, high])
    restored = type(model).restore(*model.state())
    for known in (low, high):
        restored.adapt(known.take(np.arange(0)))
        assert np.abs(restored.predict(known).mean - known.values).mean() < 0.5


def test_models_take_the_fit_of_those_that_differ_in_adapt_alone() -> None:
    fitted = get_model("aiop")(0)
    fitted.fit([])
    taken = {
        name: get_model(name)(0).take_fit(fitted) for name in ("aiop", "aiop-tuned", "aiop-flops", "gnn", "default")
    }
    assert taken == {"aiop": True, "aiop-tuned": True, "aiop-flops": False, "gnn": False, "default": False}
    assert not get_model("aiop")(1).take_fit(fitted)


def test_labels_of_the_same_networks_in_other_sets_help() -> None:
    same = label_set("a/cls/x", 700, WEIGHTS, noise=0.1)  # of all networks of support and query
    few = SUPPORT.take(np.arange(5))
    assert correlation("default", [same], few) > 0.9
    assert correlation("forest-tasks", [same], SUPPORT) > correlation("extra-trees", [same], SUPPORT)


@pytest.mark.parametrize("name", ["trees", "gp", *AIOP_MODELS, "default"])
def test_a_model_that_is_not_ready_raises_an_error(name: str) -> None:
    model = get_model(name)(0)
    with pytest.raises(ModelError, match=f"model {name}: not ready: call fit first"):
        model.adapt(SUPPORT)
    with pytest.raises(ModelError, match=f"model {name}: not ready: call adapt first"):
        model.predict(QUERY)
