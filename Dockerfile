# An image of the service: docs/deployment.md says how it is run.
#
#   docker build --tag hyperpage-persistence .
#   podman build --format docker --tag hyperpage-persistence .     (the format that knows health checks)
#
# PYTHON is the image that both stages begin with, any with Python 3.11 or newer at the same place in both. By its
# digest, which names one content for every kind of machine: Python 3.13.15 on Debian 13, of September 2026.
ARG PYTHON=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
# What is installed with the program: `s3` for buckets, `traces` for OpenTelemetry, `analytics` for DuckDB.
ARG EXTRAS=s3,traces

FROM ${PYTHON} AS build
ARG EXTRAS
# Whatever is installed comes from wherever pip is set up to take packages, and is nothing but a file whose hash stands
# here or in uv.lock; no code of a package is run in order to install it.
ENV PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_NO_DEPS=1
WORKDIR /source
COPY build-requirements.txt .
RUN ["python3", "-m", "pip", "install", "--require-hashes", "--requirement", "build-requirements.txt"]
COPY . .
RUN set --; IFS=,; for extra in ${EXTRAS}; do set -- "$@" --extra "${extra}"; done; unset IFS; \
    uv export --quiet --frozen --no-dev --no-emit-project "$@" --output-file /requirements.txt \
    && uv export --quiet --frozen --no-dev --format cyclonedx1.5 "$@" --output-file /locked.json
# Without pip: what runs installs nothing. Compiled here, since what runs may not write there.
RUN ["python3", "-m", "venv", "--without-pip", "/opt/hyperpage"]
RUN python3 -m pip --python /opt/hyperpage/bin/python3 install --compile --require-hashes \
    --requirement /requirements.txt
# The program itself, by what builds it, which is there: nothing more is fetched.
RUN python3 -m pip wheel --no-index --no-build-isolation --wheel-dir /wheel . \
    && python3 -m pip --python /opt/hyperpage/bin/python3 install --no-index --compile /wheel/*.whl
# What it is made of, for whoever has the image alone. It fails where that is not what the lock says.
RUN mkdir -p /opt/hyperpage/share/doc/hyperpage \
    && /opt/hyperpage/bin/python3 supply/materials.py < /locked.json \
    > /opt/hyperpage/share/doc/hyperpage/sbom.cdx.json
COPY LICENSE THIRD-PARTY-LICENSES.md /opt/hyperpage/share/doc/hyperpage/

FROM ${PYTHON}
COPY --from=build /opt/hyperpage /opt/hyperpage
ENV PATH=/opt/hyperpage/bin:/usr/local/bin:/usr/bin:/bin \
    HYPERPAGE_DATA=/var/lib/hyperpage \
    HYPERPAGE_LOG_FORMAT=json \
    # Outside of the container it is reached once there is a token; until then it listens inside alone.
    HYPERPAGE_HTTP=0.0.0.0:8822 \
    PYTHONDONTWRITEBYTECODE=1
# A directory that a new volume takes its owner from: whoever mounts a folder gives it to 10001 first.
# The second one is for backups that several members reach; see compose.cluster.yaml.
RUN mkdir -p -m 0700 /var/lib/hyperpage /var/lib/hyperpage-shared \
    && chown 10001:10001 /var/lib/hyperpage /var/lib/hyperpage-shared
# A number, not a name: Kubernetes sees from it that it is not root.
USER 10001:10001
WORKDIR /var/lib/hyperpage
VOLUME /var/lib/hyperpage
EXPOSE 8822
# Drains: what was taken is stored, answered and sent.
STOPSIGNAL SIGTERM
# The check of a large store after a crash takes as long as it takes.
HEALTHCHECK --interval=30s --timeout=15s --start-period=300s --retries=3 \
    CMD ["hyperpage", "status", "--ready"]
ENTRYPOINT ["hyperpage"]
CMD ["serve"]
