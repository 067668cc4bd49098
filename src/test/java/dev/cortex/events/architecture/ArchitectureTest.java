package dev.cortex.events.architecture;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.codeUnits;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaCodeUnit;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.io.ObjectInputStream;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.jdbi.v3.core.Jdbi;
import org.junit.jupiter.api.Test;

/** The arrows between the rooms, as ARCHITECTURE.md draws them. */
class ArchitectureTest {
  private static final JavaClasses HOUSE =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages("dev.cortex.events");

  @Test
  void no_package_takes_part_in_a_cycle() {
    ArchRule rule = slices().matching("dev.cortex.events.(*)..").should().beFreeOfCycles();
    rule.check(HOUSE);
  }

  @Test
  void arrows_run_one_way() {
    arrows().check(HOUSE);
  }

  @Test
  void a_room_that_the_arrows_do_not_know_is_noticed() {
    JavaClasses unknown = new ClassFileImporter().importClasses(ArchitectureTest.class);
    assertThat(arrows().evaluate(unknown).getFailureReport().getDetails())
        .anyMatch(line -> line.contains("is not contained in architecture"));
  }

  private static ArchRule arrows() {
    return layeredArchitecture()
        .consideringOnlyDependenciesInAnyPackage("dev.cortex.events..")
        .layer("event")
        .definedBy("dev.cortex.events.event")
        .layer("telemetry")
        .definedBy("dev.cortex.events.telemetry")
        .layer("file")
        .definedBy("dev.cortex.events.file")
        .layer("database")
        .definedBy("dev.cortex.events.database")
        .layer("handler")
        .definedBy("dev.cortex.events.handler")
        .layer("outbox")
        .definedBy("dev.cortex.events.outbox")
        .layer("spool")
        .definedBy("dev.cortex.events.spool")
        .layer("delivery")
        .definedBy("dev.cortex.events.delivery")
        .layer("schedule")
        .definedBy("dev.cortex.events.schedule")
        .layer("operate")
        .definedBy("dev.cortex.events.operate")
        .layer("archive")
        .definedBy("dev.cortex.events.archive")
        .layer("worker")
        .definedBy("dev.cortex.events.worker")
        .layer("front door")
        .definedBy("dev.cortex.events")
        .layer("command")
        .definedBy("dev.cortex.events.command")
        .layer("fleet")
        .definedBy("dev.cortex.events.fleet")
        .layer("daemon")
        .definedBy("dev.cortex.events.daemon")
        .layer("bench")
        .definedBy("dev.cortex.events.bench")
        .layer("demo")
        .definedBy("dev.cortex.events.demo")
        .layer("cli")
        .definedBy("dev.cortex.events.cli")
        .whereLayer("event")
        .mayNotAccessAnyLayer()
        .whereLayer("telemetry")
        .mayNotAccessAnyLayer()
        .whereLayer("file")
        .mayNotAccessAnyLayer()
        .whereLayer("database")
        .mayOnlyAccessLayers("event")
        .whereLayer("handler")
        .mayOnlyAccessLayers("event")
        .whereLayer("outbox")
        .mayOnlyAccessLayers("event", "database")
        .whereLayer("spool")
        .mayOnlyAccessLayers("event", "file", "database", "outbox")
        .whereLayer("delivery")
        .mayOnlyAccessLayers("event", "database")
        .whereLayer("schedule")
        .mayOnlyAccessLayers("event", "database")
        .whereLayer("operate")
        .mayOnlyAccessLayers("event", "database")
        .whereLayer("archive")
        .mayOnlyAccessLayers("event", "file", "database")
        .whereLayer("worker")
        .mayOnlyAccessLayers(
            "event", "telemetry", "database", "handler", "outbox", "spool", "delivery", "schedule")
        .whereLayer("front door")
        .mayOnlyAccessLayers(
            "event",
            "telemetry",
            "database",
            "handler",
            "outbox",
            "spool",
            "delivery",
            "schedule",
            "operate",
            "worker")
        .whereLayer("command")
        .mayOnlyAccessLayers("event", "file", "handler")
        .whereLayer("fleet")
        .mayOnlyAccessLayers("event", "handler", "archive")
        .whereLayer("daemon")
        .mayOnlyAccessLayers("event", "file", "command")
        .whereLayer("bench")
        .mayOnlyAccessLayers("event", "telemetry", "database", "handler", "worker", "front door")
        .whereLayer("demo")
        .mayOnlyAccessLayers("event", "handler", "outbox", "fleet", "front door")
        .whereLayer("cli")
        .mayNotBeAccessedByAnyLayer()
        .ensureAllClassesAreContainedInArchitecture();
  }

  @Test
  void only_the_command_line_parses_arguments() {
    ArchRule rule =
        noClasses()
            .that()
            .resideOutsideOfPackage("dev.cortex.events.cli..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("picocli..");
    rule.check(HOUSE);
  }

  @Test
  void only_the_database_room_migrates() {
    ArchRule rule =
        noClasses()
            .that()
            .resideOutsideOfPackage("dev.cortex.events.database..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("org.flywaydb..");
    rule.check(HOUSE);
  }

  @Test
  void nothing_deserialises_java_objects() {
    ArchRule rule =
        noClasses().should().dependOnClassesThat().areAssignableTo(ObjectInputStream.class);
    rule.check(HOUSE);
  }

  @Test
  void no_public_signature_shows_a_library_that_the_user_did_not_choose() {
    signatures().check(HOUSE);
  }

  @Test
  void a_library_is_noticed_in_a_result_a_parameter_and_a_constructor() {
    JavaClasses shown = new ClassFileImporter().importClasses(Shows.class);
    assertThat(signatures().evaluate(shown).getFailureReport().getDetails())
        .hasSize(3)
        .anyMatch(line -> line.contains("Shows.<init>"))
        .anyMatch(line -> line.contains("Shows.taken"))
        .anyMatch(line -> line.contains("Shows.given"));
  }

  /** Shows a hidden library in every way, also as a part of another type. */
  @SuppressWarnings("unused")
  public static final class Shows {
    public Shows(Jdbi jdbi) {}

    public void taken(List<Jdbi> all) {}

    public Optional<Jdbi> given() {
      return Optional.empty();
    }
  }

  private static ArchRule signatures() {
    return codeUnits()
        .that()
        .arePublic()
        .and()
        .areDeclaredInClassesThat()
        .arePublic()
        .and()
        .areDeclaredInClassesThat()
        .resideOutsideOfPackage("dev.cortex.events.cli..")
        .and()
        .areDeclaredInClassesThat()
        // Flyway makes it by its name and calls it.
        .doNotHaveSimpleName("QuietLogs")
        .should(showNoHiddenLibrary());
  }

  private static ArchCondition<JavaCodeUnit> showNoHiddenLibrary() {
    return new ArchCondition<>("show no type of JDBI, Flyway or Hikari") {
      @Override
      public void check(JavaCodeUnit unit, ConditionEvents events) {
        Stream.concat(Stream.of(unit.getReturnType()), unit.getParameterTypes().stream())
            .flatMap(type -> type.getAllInvolvedRawTypes().stream())
            .filter(ArchitectureTest::isOfAHiddenLibrary)
            .forEach(
                type ->
                    events.add(
                        SimpleConditionEvent.violated(
                            unit, unit.getFullName() + " shows " + type.getName())));
      }
    };
  }

  @Test
  void rooms_have_nouns_of_the_domain() {
    ArchRule rule =
        classes()
            .should()
            .resideOutsideOfPackages(
                "..util..", "..common..", "..helper..", "..impl..", "..model..", "..core..");
    rule.check(HOUSE);
  }

  @Test
  void at_most_half_of_the_types_are_public() {
    long types = HOUSE.stream().filter(ArchitectureTest::isTopLevel).count();
    long open =
        HOUSE.stream()
            .filter(ArchitectureTest::isTopLevel)
            .filter(type -> type.getModifiers().contains(JavaModifier.PUBLIC))
            .count();
    assertThat(open * 2).as("public types, of %s", types).isLessThanOrEqualTo(types);
  }

  private static boolean isTopLevel(JavaClass type) {
    return !type.isNestedClass() && !type.getSimpleName().equals("package-info");
  }

  private static boolean isOfAHiddenLibrary(JavaClass type) {
    String name = type.getPackageName();
    return name.startsWith("org.jdbi")
        || name.startsWith("org.flywaydb")
        || name.startsWith("com.zaxxer");
  }
}
