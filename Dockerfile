# The same installation as `make setup`, then a small image that runs it as nobody in particular.
FROM python:3.11-slim-bookworm AS build
# The image's user cannot write bytecode beside the code, so it is written now.
ENV UV_COMPILE_BYTECODE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /srv/numen
COPY pyproject.toml README.md LICENSE requirements.lock requirements-dev.lock requirements-bootstrap.lock ./
COPY backend ./backend
RUN python backend/scripts/install.py
RUN .venv/bin/python -m compileall -q backend

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/numen numen
COPY --from=build /srv/numen /srv/numen
ENV PATH=/srv/numen/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMEN_HOST=0.0.0.0 \
    NUMEN_PORT=8000 \
    NUMEN_DATA_DIR=/var/lib/numen \
    NUMEN_PROMPTS_DIR=/var/lib/numen/prompts
WORKDIR /var/lib/numen
USER 10001:10001
VOLUME /var/lib/numen
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['NUMEN_PORT']}/readyz\", timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["numen"]
CMD ["serve"]
