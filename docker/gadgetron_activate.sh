# shellcheck shell=sh
# Read by `conda activate gadgetron`: the launcher comes first on the path.
export PATH="/opt/nilatron/launch:${PATH}"
