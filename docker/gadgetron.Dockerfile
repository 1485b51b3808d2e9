# A Gadgetron site: the public Gadgetron runtime, this plugin, and its chains.
#   CPU:  docker build -f docker/gadgetron.Dockerfile -t gadgetron-nilatron:cpu .
#   GPU:  docker build -f docker/gadgetron.Dockerfile --build-arg FLAVOUR=cuda -t gadgetron-nilatron:cuda .
# Upstream publishes no version tags. Pin a site's image by digest: --build-arg GADGETRON_REF=@sha256:...
# The version is checked in any case, so that a moved tag stops the build.
ARG FLAVOUR=nocuda
ARG GADGETRON_REF=:latest

# hadolint ignore=DL3006
FROM ghcr.io/gadgetron/gadgetron/gadgetron_ubuntu_rt_nocuda${GADGETRON_REF} AS base-nocuda
ENV NILATRON_TORCH_INDEX=https://download.pytorch.org/whl/cpu NILATRON_EXTRAS="" NILATRON_CONSTRAINTS=constraints.txt

# hadolint ignore=DL3006
FROM ghcr.io/gadgetron/gadgetron/gadgetron_ubuntu_rt_cuda${GADGETRON_REF} AS base-cuda
ENV NILATRON_TORCH_INDEX="" NILATRON_EXTRAS="[gpu]" NILATRON_CONSTRAINTS=constraints.txt

# For drivers and checks that know no CUDA beyond 11.8; torch does on the GPU what CuPy does elsewhere
# hadolint ignore=DL3006
FROM ghcr.io/gadgetron/gadgetron/gadgetron_ubuntu_rt_cuda${GADGETRON_REF} AS base-cuda118
ENV NILATRON_TORCH_INDEX=https://download.pytorch.org/whl/cu118 NILATRON_EXTRAS="" \
    NILATRON_CONSTRAINTS=constraints-cuda118.txt

# The stage is chosen by the build argument; the references above carry a tag or a digest
# hadolint ignore=DL3006
FROM base-${FLAVOUR}
ARG GADGETRON_VERSION=4.7
USER 0
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
RUN /opt/conda/bin/conda run --name gadgetron gadgetron --info 2>&1 \
  | grep --extended-regexp "Version +: ${GADGETRON_VERSION//./\\.}"

# Gadgetron's environment has Python 3.10 and NumPy 1; the plugin gets an interpreter of its own beside it
RUN /opt/conda/bin/conda create --yes --quiet --prefix /opt/nilatron \
      --override-channels --channel conda-forge python=3.11 pip \
 && /opt/conda/bin/conda clean --all --yes
WORKDIR /build
COPY constraints.txt docker/constraints-cuda118.txt ./
# The flavour's own versions, under the name that is used below
RUN cp "${NILATRON_CONSTRAINTS}" chosen.txt \
 && mv chosen.txt constraints.txt
RUN PIP_EXTRA_INDEX_URL="${NILATRON_TORCH_INDEX}" \
    /opt/nilatron/bin/python -m pip install --no-cache-dir --constraint constraints.txt torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY src src
COPY core core
COPY gadgets gadgets
COPY pipelines pipelines
COPY xml_configs xml_configs
RUN /opt/nilatron/bin/python -m pip install --no-cache-dir --constraint constraints.txt ".${NILATRON_EXTRAS}" \
 && /opt/nilatron/bin/python -m pip check

# Gadgetron takes the first `python` on its path: this one hands our nodes to our interpreter, all others to theirs
COPY docker/gadgetron_python.sh /opt/nilatron/launch/python
COPY docker/gadgetron_activate.sh /opt/conda/envs/gadgetron/etc/conda/activate.d/nilatron.sh
COPY xml_configs/*.xml /opt/conda/envs/gadgetron/share/gadgetron/config/
RUN . /opt/conda/etc/profile.d/conda.sh \
 && conda activate gadgetron \
 && test "$(command -v python)" = /opt/nilatron/launch/python \
 && python -m gadgetron \
 && /opt/nilatron/bin/python -m gadgetron \
 && /opt/nilatron/bin/nilatron doctor

ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Gadgetron with Nilatron" \
      org.opencontainers.image.description="Gadgetron and the Nilatron plugin. Research only, not for diagnosis." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Passive waiting is what Gadgetron asks for under load; `openrecon` names the chain that OpenRecon scans get
ENV OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1 \
    openrecon=nila.xml
# The user of the runtime image, which owns the conda environment
USER 1000
WORKDIR /tmp
EXPOSE 9002
STOPSIGNAL SIGTERM
# Looks without connecting: Gadgetron starts a process for every connection
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/bin/sh", "-c", "netstat -ltn | grep -q ':9002 '"]
# The entry point, which activates the conda environment and starts gadgetron, is the runtime image's
