# syntax=docker/dockerfile:1
# Two stages: uv and its cache stay behind in the first; the second holds Python, the locked
# environment and Sonogate, and runs as a user who may write to /var/lib/sonogate alone.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN pip install --no-cache-dir "uv>=0.9"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/sonogate
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY . .
RUN uv sync --frozen --no-dev --no-editable

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Sonogate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Research software, not a medical device"
RUN useradd --system --uid 10001 --home-dir /var/lib/sonogate --create-home sonogate
COPY --from=build /opt/sonogate/.venv /opt/sonogate/.venv
ENV PATH=/opt/sonogate/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SONOGATE_HOME=/var/lib/sonogate
USER sonogate
WORKDIR /var/lib/sonogate
VOLUME /var/lib/sonogate
ENTRYPOINT ["sonogate"]
CMD ["--help"]
