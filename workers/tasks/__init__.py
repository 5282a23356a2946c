"""Tasks, one module each.

To add a task, subclass `base.Task` (or `base.LogitTask` for a head with one logit per class) in a module of its own,
decorate the class with `@register`, and import the module here. A task needs a recipe in workers/recipes, and a data
set with annotations for it.
"""

from workers.tasks import cls, det, iseg, pano, pose, seg  # noqa: F401 - importing a task registers it
from workers.tasks.base import Task, get_task, task_names

__all__ = ["Task", "get_task", "task_names"]
