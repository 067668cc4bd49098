package dev.cortex.events.architecture;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.methods;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import java.io.ObjectInputStream;

/** The arrows between the rooms, as ARCHITECTURE.md draws them. */
@AnalyzeClasses(packages = "dev.cortex.events", importOptions = DoNotIncludeTests.class)
class ArchitectureTest {

  @ArchTest
  static final ArchRule no_package_takes_part_in_a_cycle =
      slices().matching("dev.cortex.events.(*)..").should().beFreeOfCycles();

  @ArchTest
  static final ArchRule arrows_run_one_way =
      layeredArchitecture()
          .consideringOnlyDependenciesInAnyPackage("dev.cortex.events..")
          .layer("event")
          .definedBy("dev.cortex.events.event")
          .layer("telemetry")
          .definedBy("dev.cortex.events.telemetry")
          .layer("database")
          .definedBy("dev.cortex.events.database")
          .layer("handler")
          .definedBy("dev.cortex.events.handler")
          .layer("outbox")
          .definedBy("dev.cortex.events.outbox")
          .layer("delivery")
          .definedBy("dev.cortex.events.delivery")
          .layer("schedule")
          .definedBy("dev.cortex.events.schedule")
          .layer("operate")
          .definedBy("dev.cortex.events.operate")
          .layer("worker")
          .definedBy("dev.cortex.events.worker")
          .layer("front door")
          .definedBy("dev.cortex.events")
          .layer("fleet")
          .definedBy("dev.cortex.events.fleet")
          .layer("cli")
          .definedBy("dev.cortex.events.cli")
          .whereLayer("event")
          .mayNotAccessAnyLayer()
          .whereLayer("telemetry")
          .mayNotAccessAnyLayer()
          .whereLayer("database")
          .mayOnlyAccessLayers("event")
          .whereLayer("handler")
          .mayOnlyAccessLayers("event")
          .whereLayer("outbox")
          .mayOnlyAccessLayers("event", "database")
          .whereLayer("delivery")
          .mayOnlyAccessLayers("event", "database")
          .whereLayer("schedule")
          .mayOnlyAccessLayers("event", "database", "outbox")
          .whereLayer("operate")
          .mayOnlyAccessLayers("event", "database")
          .whereLayer("worker")
          .mayOnlyAccessLayers(
              "event", "telemetry", "database", "handler", "outbox", "delivery", "schedule")
          .whereLayer("front door")
          .mayOnlyAccessLayers(
              "event",
              "telemetry",
              "database",
              "handler",
              "outbox",
              "delivery",
              "schedule",
              "operate",
              "worker")
          .whereLayer("fleet")
          .mayOnlyAccessLayers("event", "handler")
          .whereLayer("bench")
          .mayOnlyAccessLayers("event", "telemetry", "database", "handler", "worker", "front door")
          .whereLayer("cli")
          .mayNotBeAccessedByAnyLayer();

  @ArchTest
  static final ArchRule only_the_command_line_parses_arguments =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.cortex.events.cli..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("picocli..");

  @ArchTest
  static final ArchRule only_the_database_room_migrates =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.cortex.events.database..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("org.flywaydb..");

  @ArchTest
  static final ArchRule nothing_deserialises_java_objects =
      noClasses().should().dependOnClassesThat().areAssignableTo(ObjectInputStream.class);

  @ArchTest
  static final ArchRule no_public_signature_shows_a_library_that_the_user_did_not_choose =
      methods()
          .that()
          .arePublic()
          .and()
          .areDeclaredInClassesThat()
          .arePublic()
          .and()
          .areDeclaredInClassesThat()
          .resideOutsideOfPackage("dev.cortex.events.cli..")
          .should()
          .notHaveRawReturnType(
              com.tngtech.archunit.base.DescribedPredicate.describe(
                  "a type of JDBI, Flyway or Hikari", ArchitectureTest::isOfAHiddenLibrary));

  @ArchTest
  static final ArchRule rooms_have_nouns_of_the_domain =
      classes()
          .should()
          .resideOutsideOfPackages(
              "..util..", "..common..", "..helper..", "..impl..", "..model..", "..core..");

  @ArchTest
  static void at_most_half_of_the_types_are_public(JavaClasses all) {
    long types = all.stream().filter(ArchitectureTest::isTopLevel).count();
    long open =
        all.stream()
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
