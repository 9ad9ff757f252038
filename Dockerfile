# Written for Docker 24 or newer; it was checked by reading, not by running it (no engine was at hand).
# glibc is a must: Temporal's worker has no musl build.

FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build --chown=node:node /app/package.json /app/context.yaml ./
COPY --from=build --chown=node:node /app/node_modules ./node_modules
COPY --from=build --chown=node:node /app/dist ./dist
RUN mkdir /backups && chown node:node /backups
USER node
EXPOSE 3100
# The role is the last argument: api, sync-worker, job-worker, backup, all-in-one or migrate.
ENTRYPOINT ["node", "--enable-source-maps"]
CMD ["dist/main/run.js", "api"]
