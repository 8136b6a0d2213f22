# docker build -t oxllm . && docker run --rm -p 127.0.0.1:8080:8080 -v ./config.toml:/etc/oxllm/config.toml:ro oxllm
#
# The config inside must have `host = "0.0.0.0"`, and api_keys unless only trusted peers reach the port.
# The build's image has a C compiler, so what is served from is compiled.
# bookworm has OpenSSL 3.0, with which the memory limits hold. `--build-arg DEBIAN=trixie` has 3.5, and with it a key
# exchange that quantum computers cannot break, for some 6 MB more at 300 connections (docs/footprint.md).
ARG DEBIAN=bookworm
FROM python:3.13-${DEBIAN} AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY oxllm ./oxllm
COPY contrib/man ./contrib/man
RUN python -m venv /opt/oxllm && /opt/oxllm/bin/pip install --no-cache-dir .

FROM python:3.13-slim-${DEBIAN}
COPY --from=build /opt/oxllm /opt/oxllm
# Slim images ship no bytecode, and a process that compiles its modules itself keeps 6 MB that compiling took.
RUN python -m compileall -q "$(python -c 'import os; print(os.path.dirname(os.__file__))')" /opt/oxllm \
 && useradd --system --uid 10001 --no-create-home oxllm \
 && mkdir -p /etc/oxllm /run/oxllm && chown oxllm /run/oxllm
# Of the demo no key can be spent, so in here it listens where `docker run -p` reaches it.
ENV PATH=/opt/oxllm/bin:$PATH RUNTIME_DIRECTORY=/run/oxllm OXLLM_DEMO_HOST=0.0.0.0
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Asked from inside, so it is local, on whatever port the run file names. Anything but 503 (draining) is an answer: a
# config that binds one address only refuses us, and serves. No curl here, and `oxllm status` would need 35 MB.
HEALTHCHECK --interval=30s --timeout=4s --start-period=10s CMD ["python", "-ISc", "import glob, json, http.client as c; run = json.load(open(glob.glob('/run/oxllm/oxllm-*.json')[0])); to = c.HTTPConnection(run['host'], run['port'], timeout=3); to.request('GET', '/health'); raise SystemExit(to.getresponse().status == 503)"]
# exec form: `serve` is process 1 and gets the signals itself.
ENTRYPOINT ["oxllm"]
CMD ["serve", "--config", "/etc/oxllm/config.toml"]
