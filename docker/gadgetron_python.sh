#!/bin/sh
# `python` for Gadgetron, which starts nodes as `python -m gadgetron PORT MODULE TARGET`: modules of Nilatron run in
# Nilatron's interpreter, everything else in that of Gadgetron's own environment. The package would end like a scan without
# images where MODULE cannot be imported or TARGET is missing: both become a target that our node answers with an error.
node=nilatron.pipelines.node
case "${4:-}" in
"$node" | "$node.entry") set -- "$1" "$2" "$3" "$4" "${5:-}" ;;
nilatron | nilatron.*) set -- "$1" "$2" "$3" "$node" "${5:-} of $4" ;;
*) exec "${GADGETRON_PYTHON:-/opt/conda/envs/gadgetron/bin/python}" "$@" ;;
esac
exec "${NILATRON_PYTHON:-/opt/nilatron/bin/python}" "$@"
