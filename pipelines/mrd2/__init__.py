"""MRD v2: streams and files that carry their own schema, read and written by that schema.

protocol    a stream: its model, then its steps; Reader and Writer
schema      the codecs of a schema's types
codec       what reads and writes values; numbers and texts
compounds   records, optional values, unions, lists, maps, enumerations
arrays      arrays
byte_source, byte_sink, varints
            bytes in, within limits, and out; numbers of variable length
header      the header of v1 (XML) and v2 (a record), by the names of fields
items       items of v1 and v2: lines, images, buffers (lines, images, buffers, heads)
noise       streams that hold a noise covariance
"""
