from nilatron.pipelines.server.devices import visible_gpus


def test_one_worker_for_each_gpu_that_was_chosen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-abc")
    assert visible_gpus("auto") == ["2", "GPU-abc"]
    assert visible_gpus("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus("auto") == []
