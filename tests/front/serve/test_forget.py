"""What a process keeps between runs can be let go of, as `/free` asks for."""

import gc
import weakref

from inlay.graph_runtime.front.kept_between_runs import forget, kept_between_runs


def test_weights_go_and_results_stay_unless_asked():
    models, results = kept_between_runs("cpu", 12345)
    gone, kept = weakref.ref(models), weakref.ref(results)
    del models, results
    forget(results=False)
    gc.collect()
    assert gone() is None
    assert kept() is kept_between_runs("cpu", 12345)[1]
    forget(results=True)
    gc.collect()
    assert kept() is None
