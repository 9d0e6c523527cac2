# The page, for a Docker Space and for anyone: docker build -t captioner . && docker run -p 8501:8501 captioner
FROM python:3.11-slim

# Where torch's CPU build comes from: what PyPI offers brings several gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user/captioner
ENV PATH=/home/user/venv/bin:$PATH PYTHONUNBUFFERED=1
# What differs from host to host; docker run --env changes it.
ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0 STREAMLIT_SERVER_PORT=8501 STREAMLIT_SERVER_HEADLESS=true

COPY --chown=user requirements.txt .
# pi-heif reads what iPhones make. Headers, compilers' helpers and the tests of packages are 200 MB that no page needs.
RUN python -m venv /home/user/venv \
    && pip install --no-cache-dir torch==2.13.0 torchvision==0.28.0 --index-url $TORCH_INDEX \
    && pip install --no-cache-dir -r requirements.txt pi-heif==1.4.0 \
    && cd /home/user/venv/lib/python3.11/site-packages \
    && rm -rf torch/include pyarrow/include \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find . -type d -name tests -prune -exec rm -rf {} +

# The page writes nothing, not even bytecode.
ENV PYTHONDONTWRITEBYTECODE=1
COPY --chown=user app.py MODEL_CARD.md ./
COPY --chown=user .streamlit .streamlit
COPY --chown=user captioner captioner

EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['STREAMLIT_SERVER_PORT'] + '/_stcore/health', timeout=5)"]
CMD ["streamlit", "run", "app.py"]
