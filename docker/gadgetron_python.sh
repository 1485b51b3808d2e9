#!/bin/sh
# `python` for Gadgetron, which starts nodes as `python -m gadgetron PORT MODULE TARGET`: modules of Nilatron run in
# Nilatron's interpreter, everything else in that of Gadgetron's own environment.
case "${4:-}" in
nilatron | nilatron.*) exec "${NILATRON_PYTHON:-/opt/nilatron/bin/python}" "$@" ;;
*) exec "${GADGETRON_PYTHON:-/opt/conda/envs/gadgetron/bin/python}" "$@" ;;
esac
