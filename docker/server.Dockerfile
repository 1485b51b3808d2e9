# The warm server.   CPU: docker build -f docker/server.Dockerfile -t nilatron:cpu .
#                    GPU: docker build -f docker/server.Dockerfile --build-arg FLAVOUR=cuda -t nilatron:cuda .   (or cuda118)
# Runs with a read-only root:  docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:9002:9002 nilatron:cpu
ARG FLAVOUR=cpu

FROM python:3.11-slim AS base-cpu
ENV NILATRON_TORCH_INDEX=https://download.pytorch.org/whl/cpu NILATRON_EXTRAS="" NILATRON_CONSTRAINTS=constraints.txt

# PyPI's torch brings the CUDA libraries; the host brings the driver
FROM python:3.11-slim AS base-cuda
ENV NILATRON_TORCH_INDEX="" NILATRON_EXTRAS="[gpu]" NILATRON_CONSTRAINTS=constraints.txt

# For drivers and checks that know no CUDA beyond 11.8; torch does on the GPU what CuPy does elsewhere
FROM python:3.11-slim AS base-cuda118
ENV NILATRON_TORCH_INDEX=https://download.pytorch.org/whl/cu118 NILATRON_EXTRAS="" \
    NILATRON_CONSTRAINTS=constraints-cuda118.txt

# The stage is chosen by the build argument; both are tagged above
# hadolint ignore=DL3006
FROM base-${FLAVOUR} AS build
WORKDIR /build
COPY constraints.txt docker/constraints-cuda118.txt ./
# The flavour's own versions, under the name that is used below
RUN cp "${NILATRON_CONSTRAINTS}" chosen.txt \
 && mv chosen.txt constraints.txt
# torch in a layer of its own: a changed source does not fetch it again
RUN python -m venv /opt/nilatron \
 && PIP_EXTRA_INDEX_URL="${NILATRON_TORCH_INDEX}" \
    /opt/nilatron/bin/python -m pip install --no-cache-dir --constraint constraints.txt torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY src src
COPY core core
COPY gadgets gadgets
COPY pipelines pipelines
COPY xml_configs xml_configs
RUN /opt/nilatron/bin/python -m pip install --no-cache-dir --constraint constraints.txt ".${NILATRON_EXTRAS}" \
 && /opt/nilatron/bin/python -m pip check

FROM python:3.11-slim AS server
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Nilatron" \
      org.opencontainers.image.description="Streaming MRI reconstruction with diffusion priors. Research only, not for diagnosis." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/nilatron /opt/nilatron
# Whatever a library caches goes to /tmp, the only place that is written to
ENV PATH=/opt/nilatron/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NILATRON_REVISION=${REVISION} \
    XDG_CACHE_HOME=/tmp/cache \
    CUPY_CACHE_DIR=/tmp/cache/cupy \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
EXPOSE 9002
STOPSIGNAL SIGTERM
# Warming the network up may take a minute. A proxy that the site has set must not be asked for the loopback address
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:9003/healthz', timeout=4)"]
ENTRYPOINT ["nilatron"]
CMD ["serve", "--host", "0.0.0.0", "--port", "9002", "--health-port", "9003"]

# OpenRecon:  docker build -f docker/server.Dockerfile --target openrecon \
#               --build-arg OPENRECON_LABEL="$(python docker/openrecon_label.py)" -t openrecon_nilatron_nilatron:v0.2.0 .
# On a GPU: --build-arg FLAVOUR=cuda118, and openrecon_label.py --gpu
FROM server AS openrecon
ARG OPENRECON_LABEL
# hadolint ignore=DL3048
LABEL "com.siemens-healthineers.magneticresonance.openrecon.metadata:1.1.0"="${OPENRECON_LABEL}"
# Every OpenRecon scan asks for the configuration "openrecon": the variable of that name says which chain is meant
ENV openrecon=nila \
    NILATRON_SERVE_FIRE=true
# OpenRecon starts containers as root only
# hadolint ignore=DL3002
USER 0:0

FROM server
