"""Errors whose cause the user can correct: bad files, settings or data.

ValueError
`-- BadInputError           one message that says what was expected, what came and what to do; exit code 2
    |-- WeightsError        core.prior.weights: a file that holds no weights of ours
    |-- EngineError         core.prior.engines.packages: an engine that this installation or machine cannot run
    |-- ForeignNetworkError core.prior.foreign_onnx: a graph that cannot be called as a network
    |-- SettingsError       gadgets.settings: an unknown property, or a value that cannot be used
    |-- ScanError           gadgets.items: data that contradict the header or themselves
    |-- ChainError          pipelines.chain.xml: a chain that the host cannot run
    |-- TooMuchXmlError     pipelines.files.xml_bounds: XML with too many elements
    |-- InputError          pipelines.files.atomic: files that cannot be read or must not be written
    |-- ConversionError     pipelines.prior.convert_settings: a foreign network that cannot be used, or does not denoise
    |-- WireError           pipelines.wire: bytes that are no message, a peer that is gone or silent
    |-- TrainingImagesError pipelines.training.images: training images that are not there or cannot be used
    `-- TrainingError       pipelines.training.settings: settings, images or a checkpoint that cannot be used
"""


class BadInputError(ValueError):
    """A file, setting or message from outside that cannot be used."""
