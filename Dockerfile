# The gateway as a container: built in one stage, run without compiler, pip or root in another.
#   docker build -t tidegate .
#   docker run --init -p 8000:8000 -v ./tidegate.yaml:/etc/tidegate/tidegate.yaml:ro tidegate
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/tidegate
# The dependencies alone first: they change less often than the source, and stay cached.
COPY requirements.txt ./
RUN pip --python /opt/tidegate/bin/python install --no-cache-dir --require-hashes \
        --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY src src
RUN pip --python /opt/tidegate/bin/python install --no-cache-dir --no-deps \
        --no-build-isolation .

FROM python:${PYTHON}
# A fixed number, so that a cluster can check that it is not root without knowing the name.
RUN useradd --uid 10001 --home-dir /var/lib/tidegate --create-home \
        --shell /usr/sbin/nologin tidegate \
    && chmod 700 /var/lib/tidegate
COPY --from=build /opt/tidegate /opt/tidegate
COPY examples/tidegate.yaml /etc/tidegate/tidegate.yaml
# In a container, loopback is reached by nobody; what is published is the runner's choice.
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TIDEGATE_CONFIG=/etc/tidegate/tidegate.yaml \
    TIDEGATE_DATA_DIR=/var/lib/tidegate \
    TIDEGATE_LISTEN_HOST=0.0.0.0 \
    TIDEGATE_ADMIN_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/tidegate
VOLUME /var/lib/tidegate
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["tidegate"]
CMD ["serve"]
