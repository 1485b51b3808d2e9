from nilatron.core.prior.engines.engine import Engine


def test_the_label_is_the_name_with_what_is_to_be_said_by_now():
    said = []
    engine = Engine(None, "tensorrt fp16", lambda: ", ".join(said))
    assert engine.label == "tensorrt fp16"
    said.append("no memory")
    assert engine.label == "tensorrt fp16 (no memory)"
    assert Engine(None, "torch fp32").label == "torch fp32"
