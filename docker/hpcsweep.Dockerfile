# hpcsweep alone, for a login node or the CI of a user. It runs as an unprivileged user, in /work:
#   docker build --file docker/hpcsweep.Dockerfile --tag hpcsweep .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" hpcsweep plan manifest.json
FROM debian:bookworm AS build
RUN apt-get update --quiet \
    && apt-get install --yes --quiet --no-install-recommends python3 python3-venv
COPY LICENSE README.md pyproject.toml /src/
COPY packaging/*.py /src/packaging/
COPY hpcsweep /src/hpcsweep
COPY slurm_templates /src/slurm_templates
COPY examples/starters /src/examples/starters
RUN python3 -m venv /opt/hpcsweep \
    && /opt/hpcsweep/bin/pip install --quiet --no-cache-dir '/src[postgres]' \
    && /opt/hpcsweep/bin/pip uninstall --quiet --yes pip setuptools

FROM debian:bookworm
RUN apt-get update --quiet \
    && apt-get install --yes --quiet --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home sweeper
COPY --from=build /opt/hpcsweep /opt/hpcsweep
ENV LANG=C.UTF-8 PATH=/opt/hpcsweep/bin:/usr/local/bin:/usr/bin:/bin
USER sweeper
WORKDIR /work
ENTRYPOINT ["hpcsweep"]
