# Builds the command line, and runs it as a user of its own.
FROM maven:3.9-eclipse-temurin-17 AS build
WORKDIR /build
COPY .mvn .mvn
COPY pom.xml .
COPY migrations migrations
COPY src src
RUN mvn -B -q -DskipTests package

FROM eclipse-temurin:17-jre
RUN useradd --system --create-home --uid 10001 cortex
COPY --from=build /build/target/cortex-events.jar /opt/cortex/cortex-events.jar
COPY --from=build /build/target/lib /opt/cortex/lib
USER cortex
# A worker ends in order on SIGTERM, which a shell in between would keep from it.
ENTRYPOINT ["java", "-cp", "/opt/cortex/cortex-events.jar:/opt/cortex/lib/*", "dev.cortex.events.cli.Main"]
CMD ["--help"]
