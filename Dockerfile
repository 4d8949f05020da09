# An image of the service: docs/deployment.md says how it is run.
#
#   docker build --tag hyperpage-persistence .
#   podman build --format docker --tag hyperpage-persistence .     (the format that knows health checks)
#
# PYTHON is the image that both stages begin with, any with Python 3.11 or newer at the same place in both.
ARG PYTHON=docker.io/library/python:3.13-slim
# What is installed with the program: `s3` for buckets, `traces` for OpenTelemetry, `analytics` for DuckDB.
ARG EXTRAS=s3,traces

FROM ${PYTHON} AS build
ARG EXTRAS
WORKDIR /source
COPY . .
# Without pip: what runs installs nothing. Compiled here, since what runs may not write there.
RUN ["python3", "-m", "venv", "--without-pip", "/opt/hyperpage"]
# In the versions of uv.lock, from wherever pip is set up to take packages.
RUN python3 -m pip install --no-cache-dir 'uv>=0.13,<0.14' \
    && uv export --quiet --frozen --all-extras --no-hashes --no-emit-project --output-file /versions.txt
RUN python3 -m pip --python /opt/hyperpage/bin/python3 install --no-cache-dir --compile \
    --constraint /versions.txt ".[${EXTRAS}]"

FROM ${PYTHON}
COPY --from=build /opt/hyperpage /opt/hyperpage
ENV PATH=/opt/hyperpage/bin:/usr/local/bin:/usr/bin:/bin \
    HYPERPAGE_DATA=/var/lib/hyperpage \
    HYPERPAGE_LOG_FORMAT=json \
    # Outside of the container it is reached once there is a token; until then it listens inside alone.
    HYPERPAGE_HTTP=0.0.0.0:8822 \
    PYTHONDONTWRITEBYTECODE=1
# A directory that a new volume takes its owner from: whoever mounts a folder gives it to 10001 first.
RUN mkdir -p -m 0700 /var/lib/hyperpage && chown 10001:10001 /var/lib/hyperpage
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
