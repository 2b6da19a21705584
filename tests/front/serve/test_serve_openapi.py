"""Requests made from the server's own OpenAPI description, good and bad: each is answered as the description says."""

import os

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from inlay.graph_runtime.front.serve.app import create_app
from inlay.graph_runtime.front.serve.folders import hold_folders
from inlay.graph_runtime.front.serve.service import Service
from inlay.graph_runtime.front.serve.settings import Limits, Settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = int(os.environ.get("INLAY_TEST_OPENAPI", "4"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_every_answer_is_one_that_the_description_knows(tmp_path):
    """The application has no workers: what is asked for is queued, and stays so."""
    service = Service(Settings(out=tmp_path / "out", folder=tmp_path / "serve", limits=Limits(queue=3)))
    held = hold_folders(service.settings)
    described = schemathesis.openapi.from_asgi("/v1/openapi.json", create_app(service))
    tried = set()
    for found in described.exclude(path_regex="/events$").get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
        )
        @given(case=operation.as_strategy())
        def every_answer_fits(case):
            case.call_and_validate(checks=CHECKS)
            tried.add((case.method, case.path))

        every_answer_fits()
    held.release()
    assert len(tried) >= 18
