# syntax=docker/dockerfile:1
# One image for every production process: `serve`, `worker`, `beat`, `migrate`.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/reclift
WORKDIR /src
# The libraries first: they change seldom, so this layer is rebuilt only with pyproject.toml.
COPY pyproject.toml README.md LICENSE ./
RUN python - <<'PY' > requirements.txt && /opt/reclift/bin/pip install --requirement requirements.txt
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")
PY
COPY platform platform
COPY strategies strategies
COPY templates templates
COPY migrations migrations
RUN /opt/reclift/bin/pip install --no-deps .

FROM python:3.12-slim
RUN groupadd --system --gid 10001 reclift \
    && useradd --system --uid 10001 --gid reclift --home-dir /data --no-create-home reclift \
    && install --directory --owner=reclift --group=reclift /data
COPY --from=build /opt/reclift /opt/reclift
ENV PATH=/opt/reclift/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RECLIFT_DATA_DIR=/data
USER reclift
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Only the web process listens; docker-compose.yml gives the others checks of their own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/live', timeout=4)"]
ENTRYPOINT ["reclift"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
