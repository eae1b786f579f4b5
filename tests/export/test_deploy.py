"""The files of deploy/ are what the server and the orchestrators read, and agree with each other."""

from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.backend_free


def test_the_model_config_is_the_servers_own_kind():
    pytest.importorskip("tensorflow_serving")
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    read = text_format.Parse((DEPLOY / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = read.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("faces", "/models/faces", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2
    assert dict(model.version_labels) == {"stable": 1}


def test_compose_and_kubernetes_start_the_same_server():
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["serving"]
    deployment, balancer, scaler = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert service["command"] == container["args"]
    for flag in service["command"]:
        name = flag.partition("=/config/")[2]
        assert not name or (DEPLOY / name).is_file()
    assert [port["port"] for port in balancer["spec"]["ports"]] == [8500, 8501]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "/v1/models/faces/metadata" in service["healthcheck"]["test"][-1]
