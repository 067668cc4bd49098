package dev.cortex.events.database;

import java.util.concurrent.Callable;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Gives a test class its own migrated database on a real PostgreSQL. One server serves the whole
 * run: the one that CORTEX_TEST_DATABASE_URL names (the URL of an administrator), else one in
 * Docker, else an embedded one.
 *
 * <pre>{@code
 * @ExtendWith(PostgresExtension.class)
 * class OutboxTest {
 *   @Test
 *   void an_event_is_there_after_commit(TestDatabase database) throws SQLException {
 *     try (Connection connection = database.connection()) { … }
 *   }
 * }
 * }</pre>
 *
 * A parameter of type {@link DedicatedPostgres} is a server of the class's own.
 */
public final class PostgresExtension implements ParameterResolver {
  private static final Namespace NAMESPACE = Namespace.create(PostgresExtension.class);

  @Override
  public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
    Class<?> type = parameter.getParameter().getType();
    return type == TestDatabase.class || type == DedicatedPostgres.class;
  }

  @Override
  public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
    ExtensionContext outermostClass = outermostClass(context);
    if (parameter.getParameter().getType() == DedicatedPostgres.class) {
      return once(outermostClass, DedicatedPostgres.class, DedicatedPostgres::start);
    }
    TestServer server = once(context.getRoot(), TestServer.class, TestServer::start);
    return once(outermostClass, TestDatabase.class, server::newDatabase);
  }

  /** Made at the first question, closed by JUnit at the end of the context. */
  private static <T> T once(ExtensionContext context, Class<T> type, Callable<T> make) {
    return context
        .getStore(NAMESPACE)
        .computeIfAbsent(
            type,
            key -> {
              try {
                return make.call();
              } catch (Exception e) {
                throw new IllegalStateException("no " + type.getSimpleName(), e);
              }
            },
            type);
  }

  private static ExtensionContext outermostClass(ExtensionContext context) {
    ExtensionContext current = context;
    while (current.getParent().orElseThrow().getParent().isPresent()) {
      current = current.getParent().orElseThrow();
    }
    return current;
  }
}
