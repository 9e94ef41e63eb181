import { GenericContainer } from 'testcontainers';

/** A container as platforms should run these images: nothing in it can be written but volumes. */
export class ReadOnlyContainer extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
    this.withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges:true');
  }
}
